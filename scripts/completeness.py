"""Check that at least so many percent of the public names have complete types, as pyright counts them."""

from __future__ import annotations

import json
import subprocess
import sys


def main(least: float) -> int:
    ran = subprocess.run(
        ["pyright", "--verifytypes", "perdure", "--ignoreexternal", "--outputjson"], capture_output=True, text=True, check=False
    )
    report = json.loads(ran.stdout)["typeCompleteness"]
    counts = report["exportedSymbolCounts"]
    known = counts["withKnownType"]
    total = known + counts["withAmbiguousType"] + counts["withUnknownType"]
    if total == 0:
        print("perdure exports nothing, so nothing was proved")
        return 1
    score = 100 * known / total
    print(f"{known} of {total} public names have complete types: {score:.1f} %, at least {least:.0f} % are required")
    for symbol in report["symbols"]:
        for note in symbol["diagnostics"] if symbol["isExported"] and not symbol["isTypeKnown"] else []:
            said = note["message"].splitlines()[0]
            if "partially unknown" not in said:  # those follow from others
                print(f"  {symbol['name']}: {said}")
    return 0 if score >= least else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
