"""One run as one HTML file: records in, a page out; measures nothing."""
