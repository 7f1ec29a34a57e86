"""Makes support tickets, trains a classifier on them, and writes it down twice: for Python and for ONNX Runtime.

    train.py FOLDER

FOLDER gets model.joblib, tickets.onnx, and held-out.json: a thousand tickets that the classifier has not seen, each with the
label that Python gives it.
"""
import json
import random
import sys
from pathlib import Path

import joblib
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

WORDS = {
    "billing": "invoice charge refund card payment receipt tax paid twice subscription price discount Rechnung café".split(),
    "access": "password login locked account code email reset link expired device browser signed out naïve".split(),
    "shipping": "parcel delivery courier late address tracking lost box damaged warehouse customs arrived Straße".split(),
    "bug": "crash error screen button freezes version update stack log blank wrong number total slow ÉCRAN".split(),
}
FILLERS = "the a my I we it is was and but please help again since yesterday today still cannot why when order you".split()
TICKETS = 3000
HELD_OUT = 1000


def ticket(chance, label):
    """Some words of its own kind, some of another, and fillers; with marks and capitals, as people write."""
    own, other = WORDS[label], WORDS[chance.choice(list(WORDS))]
    words = chance.choices(own, k=chance.randint(1, 5)) + chance.choices(other, k=chance.randint(0, 4))
    words += chance.choices(FILLERS, k=chance.randint(3, 12))
    chance.shuffle(words)
    return " ".join(chance.choice([word, word, word.upper(), word.capitalize(), word + ",", word + "!"]) for word in words)


def tickets(chance, count):
    labels = chance.choices(list(WORDS), k=count)
    return [ticket(chance, label) for label in labels], labels


def main(folder):
    chance = random.Random(17)
    texts, labels = tickets(chance, TICKETS)
    # Who asks makes the text lower-case: in ONNX Runtime the vectorizer's own way depends on the locales of the machine, and
    # with the one that is always there ("C") it leaves É as it is.
    model = make_pipeline(TfidfVectorizer(lowercase=False), LogisticRegression(max_iter=1000))
    model.fit([text.lower() for text in texts], labels)

    held_out, meant = tickets(chance, HELD_OUT)
    found = model.predict([text.lower() for text in held_out]).tolist()
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, folder / "model.joblib")
    # Python's words (two or more of \w) in the syntax of RE2. Without this, ONNX Runtime cuts a word at every letter that is
    # not ASCII, says nothing, and gives other labels.
    options = {TfidfVectorizer: {"locale": "C", "tokenexp": r"[\pL\pN_]{2,}"}}
    onnx = to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))], options=options, target_opset=17)
    (folder / "tickets.onnx").write_bytes(onnx.SerializeToString())
    (folder / "held-out.json").write_text(json.dumps({"texts": held_out, "labels": found}))
    right = sum(a == b for a, b in zip(meant, found))
    print(f"{HELD_OUT} tickets held out, {right} labelled as they were meant")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
