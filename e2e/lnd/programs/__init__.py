"""What is under test, and what it is tested with: our gateway and buyer, Aperture, lnget, a load."""
