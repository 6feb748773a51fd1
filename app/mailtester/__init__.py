"""MailTester Ninja, for whoever asks it: its calls, its words and its tokens. Verification and look-ups use the same."""
