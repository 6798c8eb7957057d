"""Reference venues' own spellings, a room each; `venues` chooses, `adapter` says what each can do."""
