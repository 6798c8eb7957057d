"""The whole program in virtual time, one seed one history: storms of faults, and what must hold in them."""
