"""`make gpu-check`: everything that is promised of a GPU, checked and measured on the one that is here."""
