"""sciflow through its public API: every result is durable within 0.3 s, results.h5 is written, and read with plain xarray."""
import os

import common
import work


class Named:
    """A function of the workloads with its results named, as a user of sciflow returns them."""

    def __init__(self, fn, names):
        self.fn, self.names = fn, names

    def __call__(self, a, b, c, d):
        return dict(zip(self.names, self.fn(a, b, c, d)))


def array(a, b, c, d):
    return {"z": work.array(a, b, c, d)}


def evaluate(model, a, c, d):
    return dict(zip("xy", work.evaluate(model, a, c, d)))


class Sciflow(common.Peer):
    name = "sciflow"
    modes = ("local", "inline")
    durable = "variant"
    imports = "sciflow"

    def warm(self, workers):
        import sciflow.engine.engine
        import sciflow.store.assemble  # noqa: F401

    def engine(self, out, workers):
        import sciflow
        cluster = sciflow.LocalCluster(workers=workers) if self.mode == "local" else self.mode
        return sciflow.Engine(cluster, directory=os.path.join(out, "sweeps"), progress=False, on_stale="keep")

    def workflow(self, workload, fn, space):
        import sciflow
        w = sciflow.ExperimentalWorkflow("bench")
        w.add_task("run", array if workload == "W5" else Named(fn, "xy"))
        w.add_parameter_space(space)
        return w

    def sweep(self, workload, fn, space, out, workers, **options):
        return self.engine(out, workers).execute_parameter_sweep(self.workflow(workload, fn, space), **options)

    def load(self, workload, space, out):
        import xarray as xr
        return xr.open_dataset(os.path.join(out, "sweeps", "bench", "results.h5"), engine="h5netcdf")

    def grid(self, space):
        import sciflow
        return sciflow.Grid(space)

    def item(self, g, k):
        return g[k]

    def dag(self, space, out, workers):
        import sciflow
        w = sciflow.ExperimentalWorkflow("bench")
        w.add_task("pre", work.preprocess)
        w.add_task("model", work.train, ["pre"], arguments={"pre": "pre"})
        w.add_task("evaluate", evaluate, ["model"])
        w.add_parameter_space(space)
        self.engine(out, workers).execute_parameter_sweep(w)

    def resume(self, space, out, workers):
        self.sweep("W2", work.noop, space, out, workers)

    def hole(self, space, out):
        # nothing can be taken out of a sweep, so it is made again without 1 % of it
        import shutil
        shutil.rmtree(os.path.join(out, "sweeps"))
        self.sweep("W2", work.noop, space, out, 2, only="not (d == 'm007' and c % 15 == 4.5)")

    def errors(self, space, out, workers):
        status = self.sweep("W7", work.flaky, space, out, workers).status()
        return True, status["done"], f"{status['failed']} failed, named in results.failures()"


if __name__ == "__main__":
    common.main(Sciflow)
