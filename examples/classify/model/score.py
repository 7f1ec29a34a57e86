"""Labels texts: a JSON list of texts on standard input, a JSON list of labels on standard output.

    score.py MODEL
"""
import json
import sys

import joblib

model = joblib.load(sys.argv[1])
json.dump(model.predict(json.load(sys.stdin)).tolist(), sys.stdout)
