"""docs/security.md names tests as proofs: they have to be there."""

import re

from test_template import ROOT

PAGE = (ROOT / "docs/security.md").read_text()


def test_every_named_proof_exists():
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if "node_modules" not in path.parts)
    proofs = re.findall(r"`(test_\w+)`", PAGE)
    assert len(proofs) > 8
    assert [proof for proof in proofs if f"def {proof}(" not in tests] == []
    for path in re.findall(r"`((?:tests|crates|docs)/[^`*]+)`", PAGE):
        assert (ROOT / path).exists(), path
    for pattern in re.findall(r"`(tests/[^`]*\*[^`]*)`", PAGE):
        assert list(ROOT.glob(pattern)) or list(ROOT.glob(pattern + ".json")), pattern
