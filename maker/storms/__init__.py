"""The whole program in virtual time, one seed one history: storms of faults, and the invariants that must hold in them."""
