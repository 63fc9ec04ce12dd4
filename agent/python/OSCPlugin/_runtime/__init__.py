"""The inside of the worker process: loading a plug-in module, describing its classes, serving calls.

`osc_worker.py` puts the parts together. Authors never import from here.
"""
