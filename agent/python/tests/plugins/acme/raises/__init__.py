import json


json.loads("{")
