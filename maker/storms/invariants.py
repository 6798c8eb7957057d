from maker.storms.outcome import Violation
def judge(record): return [], {}
