"""What an artifact's folder holds beside the code: manifest, outputs, weights that several share."""
