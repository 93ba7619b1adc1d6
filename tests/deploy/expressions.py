"""Prints the dashboard's expressions as recording rules, for promtool to parse: usage expressions.py DASHBOARD."""

import json
import sys

VARIABLES = {"$__rate_interval": "5m", "$job": "stead", "$instance": ".*"}


def expressions(value):
    if isinstance(value, list):
        return [found for item in value for found in expressions(item)]
    if isinstance(value, dict):
        own = [value["expr"]] if "expr" in value else []
        return own + [found for item in value.values() for found in expressions(item)]
    return []


rules = []
with open(sys.argv[1]) as file:
    for number, expression in enumerate(expressions(json.load(file))):
        for name, stands_for in VARIABLES.items():
            expression = expression.replace(name, stands_for)
        rules.append({"record": f"dashboard:{number}", "expr": expression})
print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
