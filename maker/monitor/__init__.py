"""`monitor CONF`: whoever looks on. A process of its own, with a `read` key; it can slow or stop nothing but itself.

observation what is seen of a run at one moment: the maker's word, the processes, the exchange's own word
"""
