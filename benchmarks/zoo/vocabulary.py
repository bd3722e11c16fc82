"""Sizes of the text models' inputs, apart from the builders so that reading them needs no torch."""

TEXT_TOKENS = 128
VOCABULARY = 30_522  # of BERT
