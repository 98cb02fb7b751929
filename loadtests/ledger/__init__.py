"""Load with a ledger: every request is sent once, and ends as answered, rightly or wrongly, or as lost.

A request is lost if it was sent on an open connection and no whole answer came back, whatever the reason; it is never
sent again. A connection that is refused has lost nothing: nothing was sent.
"""
