"""How good a colorization is: measures of one photo, of a test split, of two models against each other."""
