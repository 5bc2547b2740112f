"""Tables of ratios against named peers, with memory; each script runs alone too. `make bench` prints them all."""
