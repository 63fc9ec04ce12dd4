# What packages write here is for Python 2 alone. The worker never runs it.
print "ERROR: the vendor's own __init__.py was executed"
raise SystemExit(1)
