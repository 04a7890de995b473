"""Which files faults are planted in, and which suites must notice them, the quick ones first."""

import fnmatch
import re
from dataclasses import dataclass

# The models' sizes take a CPU too long for what they add.
SMALL = "-*/4k*:*/5k*:*/12k*"


@dataclass(frozen=True)
class Suite:
    program: str  # of build/tests, or of tests/ where it ends in .py
    cases: str = ""  # a GoogleTest filter; the rest of a Python suite's arguments
    tool: str = ""  # of compute-sanitizer, which the program runs under

    @property
    def label(self):
        return " ".join(filter(None, (self.tool, self.program, self.cases)))

    @property
    def is_script(self):
        return self.program.endswith(".py")

    @property
    def programs(self):
        """What must be built for it."""
        if self.program == "programs_test.py":
            return PROGRAMS_OF_SCRIPT
        return () if self.is_script else (self.program,)


# Of gate_test.py, for a file of the gate: what asks it most.
GATE_CLASSES = (
    (r"gate_(statistics|simulation)", "SignTest SimulationTest"),
    (r"gate_(thresholds|floors)", "FloorsTest FigureTest"),
    (r"gate_report", "ReportTest"),
    (r"gate_", "MergeTest RevisionsTest"),
)
PROGRAMS_OF_SCRIPT = ("quantize_test", "gemm_test", "training_step_test")

FILES = {
    "cpu": ("kernels/cpu/*.?pp", "kernels/preconditions/*.?pp", "tests/harness/*.cpp"),
    "cuda": ("kernels/cuda/*.cu", "kernels/cuda/*.cuh"),
    "scripts": (
        "scripts/octet_scripts/gate_*.py",
        "scripts/octet_scripts/records.py",
        "scripts/octet_scripts/check_records.py",
        "scripts/octet_scripts/schema.py",
    ),
}
# Their faults show on a GPU alone, whatever the suites.
ON_A_GPU = ("tests/harness/gpu_resources.cpp", "tests/harness/process_watch.cpp",
            "tests/harness/plans.cpp")  # fmt: skip

# Of a file's name: the suites of its operator, and the operators whose properties are asked.
FAMILIES = (
    (r"e4m3", ("e4m3_test",), ("quantize*", "scaled_gemm")),
    (r"sort_by_column", ("outliers_test",), ("sort_by_column",)),
    (r"outlier", ("outliers_test",), ("*outliers", "coo_to_csr", "sort_by_column")),
    (r"dequantize", ("dequantize_test",), ("dequantize*",)),
    (r"quantize", ("quantize_test", "outliers_test"), ("quantize*",)),
    (r"transform", ("transform_test",), ("transform*", "flatten")),
    (r"column_sum", ("column_sum_test",), ("column_sum",)),
    (r"spmm", ("spmm_test",), ("spmm*",)),
    (r"scaled", ("gemm_test",), ("scaled_gemm",)),
    (r"gemm|sm90", ("gemm_test",), ("gemm*", "scaled_gemm")),
)
# What changes no bit that a suite compares, or seldom: a barrier less, a read beyond the end.
TOOLS = ("racecheck", "memcheck")
SANITIZED = "Cuda/*MatchesReference/*x*:-*k_*:*70001*:*131071*:*300001*:Cuda/Gemm_*f16*"
EVERY_KERNEL = ("quantize_test", "dequantize_test", "transform_test", "gemm_test", "outliers_test",
                "column_sum_test", "spmm_test")  # fmt: skip
# Suites of a harness file's own, before the others.
FIRST_OF_HARNESS = (
    (r"floors", "floors_test"),
    (r"projection", "projection_test"),
    (r"timer", "measurement_test"),
    (r"verify|freivalds|quantized_product", "negative_control_test"),
    (r"main|options", "programs_test.py"),
)
HARNESS = ("harness_test", "measurement_test", "floors_test", "projection_test",
           "negative_control_test", "numeric_test", "layout_test")  # fmt: skip


def backend_of(path):
    folder, _, name = path.rpartition("/")
    for backend, patterns in FILES.items():
        for pattern in (p.rpartition("/") for p in patterns):
            if folder == pattern[0] and fnmatch.fnmatch(name, pattern[2]) and path not in ON_A_GPU:
                return backend
    return None


def family(path):
    name = path.rsplit("/", 1)[-1]
    for pattern, programs, properties in FAMILIES:
        if re.search(pattern, name):
            return programs, properties
    return EVERY_KERNEL, ("*",)


def property_filter(backend, operators):
    return ":".join(f"{backend}/Properties.Hold/{operator}" for operator in operators)


def suites(path):
    """In the order in which they are run; the first failure ends it."""
    name = path.rsplit("/", 1)[-1]
    if path.startswith("scripts/"):
        first = next((c for part, c in GATE_CLASSES if re.search(part, name)), None)
        if first is not None:
            others = " ".join(sorted({c for _, cs in GATE_CLASSES for c in cs.split()}
                                     - set(first.split())))  # fmt: skip
            return [Suite("gate_test.py", first), Suite("gate_test.py", others),
                    Suite("scripts_test.py")]  # fmt: skip
        return [Suite("scripts_test.py"), Suite("report_test.py"), Suite("gate_test.py")]
    if path.startswith("tests/harness/"):
        found = [
            *(Suite(program, "-Cuda/*:" + SMALL[1:]) for program in HARNESS),
            *(Suite(p, "Cpu/*MatchesReference/*:" + SMALL) for p in EVERY_KERNEL),
            Suite("training_step_test", "Cpu/*:" + SMALL),
            Suite("programs_test.py"),
        ]
        first = {suite for part, suite in FIRST_OF_HARNESS if re.search(part, name)}
        return sorted(found, key=lambda suite: suite.program not in first)
    programs, properties = family(path)
    if path.startswith("kernels/cuda/"):
        # Models' sizes too: some kernels are chosen there alone. They are checked, not timed.
        # Timing cases of small problems see what differs from one call to the next.
        checked = "Cuda/*MatchesReference/"
        found = [Suite("property_test", property_filter("Cuda", properties))]
        found += [Suite(program, f"{checked}*:{SMALL}") for program in programs]
        found += [Suite(program, f"{checked}4k*") for program in programs]
        found += [Suite(program, f"Cuda/*:{SMALL}:{checked}*") for program in programs]
        found += [Suite(program, SANITIZED, tool) for program in programs for tool in TOOLS]
        return found
    found = [Suite("preconditions_test")] if "preconditions" in path else []
    found.append(Suite("property_test", property_filter("Cpu", properties)))
    found += [Suite(program, "Cpu/*:" + SMALL) for program in programs]
    if "preconditions" not in path:
        found.append(Suite("training_step_test", "Cpu/*:" + SMALL))
    if programs == EVERY_KERNEL:
        found.append(Suite("harness_test", "-Cuda/*"))
    return found


def huge_suites(path):
    """For an index that was cut to 32 bits: the shape that vectors do not divide."""
    names = {"sort_by_column": "QuantizeOutliers", "quantize_outliers": "QuantizeOutliers",
             "outliers": "ExtractOutliers", "quantize_rowwise": "QuantizeRowwise",
             "quantize_row_col": "QuantizeRowCol", "gemm": "Gemm", "sm90": "Gemm",
             "dequantize": "Dequantize", "transform": "Transform", "column_sum": "ColumnSum",
             "spmm": "SpmmCoo", "quantize": "Quantize"}  # fmt: skip
    name = path.rsplit("/", 1)[-1]
    found = next((huge for part, huge in names.items() if part in name), "")
    return [Suite("huge_test", f"Cuda/Huge{found}*/65537x32771*")]
