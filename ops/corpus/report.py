"""The report of a run: a table by class, a line for each file that is not equal, and the sum."""

import json
from collections import Counter
from pathlib import Path

import trial


def totals(results):
    """How many files ffapi converts equally well, and how many the command line converts."""
    return sum(result.equal for result in results), sum(result.counts for result in results)


def percent(equal, of):
    return 100 * equal / of if of else 100.0


def show(results, panics):
    kinds = [kind for kind in ("video", "audio", "image", "subtitle", "unknown")
             if any(result.kind == kind for result in results)]
    table(results, kinds)
    listed("Explained differences, counted as equal", [result for result in results if result.equal
                                                       and result.class_of != trial.EQUAL])
    for name in trial.CLASSES[1:]:
        listed(name, [result for result in results if result.class_of == name and not result.equal])
    if panics:
        print("\nPanics in the service's log:", *panics, sep="\n  ")
    equal, of = totals(results)
    print(f"\nconverts equally well: {equal} of {of} ({percent(equal, of):.1f} %)", flush=True)


def table(results, kinds):
    print("\n" + f"{'':28}" + "".join(f"{kind:>10}" for kind in kinds) + f"{'all':>10}")
    rows = Counter()
    for result in results:
        name = f"{result.class_of}, explained" if result.explained else result.class_of
        rows[name, result.kind] += 1
    for name in sorted({name for name, _ in rows}, key=lambda name: trial.CLASSES.index(name.partition(",")[0])):
        counts = [rows[name, kind] for kind in kinds]
        print(f"{name:28}" + "".join(f"{count:10}" for count in counts) + f"{sum(counts):10}")


def listed(title, results):
    names = Counter(Path(result.file).name for result in results)
    if results:
        print(f"\n{title} ({len(results)}):")
    for result in sorted(results, key=lambda result: (result.detail, result.file)):
        because = f" [{result.explained}]" if result.explained else ""
        name = Path(result.file).name
        print(f"  {name if names[name] == 1 else result.file}: {result.detail}{because}")


def write(file, results, panics):
    equal, of = totals(results)
    content = {"converts_equally_well": equal, "of": of, "percent": round(percent(equal, of), 2),
               "classes": Counter(result.class_of for result in results), "panics": panics,
               "files": [result.as_json() for result in results]}
    Path(file).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
