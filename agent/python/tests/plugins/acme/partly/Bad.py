raise RuntimeError(u"Gr\xf6\xdfe")
