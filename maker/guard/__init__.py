"""Whoever outlives the maker: standard library only, and nothing of the other floors, so that it stays small and alive.

watch     what to make of one maker: armed, heartbeats, kill file, told to stop, to be killed
exchange  cancel-all and "what rests", until it reads empty
"""
