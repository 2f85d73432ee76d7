#!/bin/bash
# One virtual environment per peer under $BENCH_VENVS (default ./bench-venvs). Usage: install.sh [PEER...]   (no name: all)
BASE=${BENCH_VENVS:-bench-venvs}
WANT=" $* "
mk() { name=$1; shift
  [ "$WANT" = "  " ] || case "$WANT" in *" $name "*) ;; *) return ;; esac
  d=$BASE/bench-$name
  python3 -m venv "$d" && "$d/bin/pip" install -q "$@" && echo "$name ready" || echo "$name failed"
}
COMMON="numpy pandas xarray h5py"
mk raw $COMMON netcdf4 scikit-learn psutil
mk joblib $COMMON joblib
mk pipefunc "pipefunc[all]" $COMMON
mk xyzpy xyzpy $COMMON joblib h5netcdf matplotlib
mk psweep psweep $COMMON
mk signac signac signac-flow $COMMON
mk parsl parsl $COMMON
mk executorlib "executorlib[all]" $COMMON
mk ray "ray[tune]" $COMMON
mk hydra hydra-core hydra-joblib-launcher $COMMON
mk mlflow mlflow $COMMON
mk sciflow -e "$(dirname "$0")/../.."
