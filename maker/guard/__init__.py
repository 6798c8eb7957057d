"""Whoever outlives the maker: standard library only, and nothing of the other floors, so that it stays small and alive.

key       the API key, from an environment variable or a file that nobody else can read
settings  the one TOML loader; app/config checks what it loads, so two parsers cannot drift
latch     the kill file: while it exists nothing quotes and nothing starts
"""
