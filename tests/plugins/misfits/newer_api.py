"""Needs an API that this agent does not speak."""
# stage: register
# error: PluginUnavailable NoSuchOperation InvalidValue OperationPreReqNotMet
# says: 1.3.0

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    required_api_vers = ['1', '3', '0']
