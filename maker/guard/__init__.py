"""The parent process: standard library only, and nothing of the other floors, so that it stays small and alive.

settings  the one TOML loader; app/config checks what it loads, so two parsers cannot drift
parent    starts venue and maker in sessions of their own, passes signals on, watches by pidfd
report    what a run ends with: the maker's own result, or what must be assumed without one
"""
