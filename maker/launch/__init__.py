"""`run` as a process: standard library only; starts venue and maker, and says how it ended.

parent    starts them in sessions of their own, passes signals on, watches by pidfd
report    what a run ends with: the maker's own result, or what must be assumed without one
"""
