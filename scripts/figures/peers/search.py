"""Steps of the joint search on the data that the Rust peer exported, from its first weights: the reference for time and losses.

usage: search.py EXPORT

Per step, a mask is drawn: g = 1 with probability theta. Loss1 runs the frozen teacher on masked held-out rows and moves theta, with
the straight-through gradient and the expected latency; Loss2 runs the supernet on masked training rows against labels and the
teacher's scores and moves operator weights and the supernet's weights. Notation as in fixtures/pytorch/supernet.py.

As fast as PyTorch allows: one table and one gather for all features; the weights of one incoming entry to all operators side by
side; all partitions' heads side by side; frozen parts without gradient; latencies as a few products of small matrices; fused AdamW.
The search's own variants (eager, compiled, masses on the inputs) are measured at the start and the fastest is kept.
"""

import gc
import json
import sys
import time
from pathlib import Path

import numpy
import torch
import torch._inductor.config
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

import protocol

DTYPES = {"F32": "<f4", "U32": "<u4"}


def safetensors(path):
    """Tensors by name; 32-bit numbers only."""
    raw = Path(path).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)

    def tensor(entry):
        begin, end = entry["data_offsets"]
        array = numpy.frombuffer(raw[8 + size + begin : 8 + size + end], DTYPES[entry["dtype"]])
        if entry["dtype"] == "U32":
            array = array.astype("<i4")
        return torch.from_numpy(array.copy()).view(entry["shape"])

    return {name: tensor(entry) for name, entry in header.items()}


class Data:
    """Encoded rows, with ids that already point into the joint table."""

    def __init__(self, folder, plan):
        rows = safetensors(folder / "rows.safetensors")
        cardinalities = torch.tensor([f["cardinality"] for f in plan["features"]])
        offsets = (cardinalities.cumsum(0) - cardinalities).int()
        self.ids = rows["ids"] + offsets
        self.labels, self.weights = rows["labels"], rows["weights"]
        self.partitions, self.soft = rows["partitions"].long(), rows["soft"]
        self.train, self.held_out, self.valid = rows["train"].long(), rows["held_out"].long(), rows["valid"].long()


class Teacher:
    """Frozen: embeddings, shared layers, all heads side by side."""

    def __init__(self, folder, plan):
        state = safetensors(folder / "teacher.safetensors")
        width = plan["features"][0]["width"]
        self.table = state["table"].view(-1, width)
        self.width = width
        self.shared = [(state[f"shared.{i}.weight"], state[f"shared.{i}.bias"]) for i in range(plan["shared_layers"])]
        heads = range(plan["partitions"])
        self.hidden = torch.cat([state[f"partition{p}.0.weight"] for p in heads], 1).contiguous()
        self.hidden_bias = torch.cat([state[f"partition{p}.0.bias"] for p in heads])
        self.output = torch.stack([state[f"partition{p}.output.weight"].flatten() for p in heads])
        self.output_bias = torch.cat([state[f"partition{p}.output.bias"] for p in heads])

    def embed(self, ids):
        return torch.nn.functional.embedding(ids, self.table).flatten(1)

    def heads(self, x):
        """Logits of all heads `[rows, partitions]`."""
        for weight, bias in self.shared:
            x = torch.addmm(bias, x, weight).relu()
        x = torch.addmm(self.hidden_bias, x, self.hidden).relu()
        return (x.view(len(x), *self.output.shape) * self.output).sum(2) + self.output_bias


class Supernet:
    """Mixops of equal operators: MLPs of `widths` and the zero operator, which is the last.

    Between two Mixops stand the entries of all widths side by side `[rows, sum of widths]` with their masses, and the network's
    own input with its mass.
    """

    def __init__(self, folder, plan, scaled_first):
        state = {name: tensor.requires_grad_() for name, tensor in safetensors(folder / "supernet.safetensors").items()}
        mixops = plan["mixops"]
        assert all(m == mixops[0] and m[-1] == 0 for m in mixops), "this reference wants equal Mixops that end with zero"
        self.widths = mixops[0][:-1]
        self.keys = ["input"] + [str(width) for width in self.widths]
        self.free = state.pop("theta")
        self.alpha = [state.pop(f"alpha{i + 1}") for i in range(len(mixops))]
        inputs = plan["features"][0]["width"] * len(plan["features"])
        # The export has them one under the other, each followed by its row of biases, the input first and widths ascending.
        order = [("input", inputs)] + [(str(width), width) for width in sorted(self.widths)]
        self.mixops = []
        for i in range(len(mixops)):
            stacked, parts, row = state.pop(f"mixop{i + 1}").detach(), {}, 0
            for key, width in order if i else order[:1]:
                weight, bias = stacked[row : row + width].clone(), stacked[row + width].clone()
                parts[key] = (weight.requires_grad_(), bias.requires_grad_())
                row += width + 1
            assert row == len(stacked), "another order of weights than the export's"
            self.mixops.append([parts[key] for key in self.keys if key in parts])
        self.output = [(state[f"output.{key}.weight"], state[f"output.{key}.bias"]) for key in self.keys]
        self.weights = list(state.values()) + [tensor for layers in self.mixops for pair in layers for tensor in pair]
        self.columns = torch.tensor(self.widths)
        self.scaled_first = scaled_first

    def pair(self, x, mass, weight, bias):
        """mass . relu(x.W + b). Masses are positive, so they may as well scale what goes in: fewer columns than what comes out."""
        if self.scaled_first:
            return torch.addmm(mass * bias, mass * x, weight).relu()
        return torch.addmm(bias, x, weight).relu() * mass

    def by_column(self, masses):
        return masses.repeat_interleave(self.columns, output_size=sum(self.widths))

    def forward(self, x, probabilities):
        entries, masses, input_mass = None, None, None
        for layers, p in zip(self.mixops, probabilities):
            if entries is None:
                entries, masses, input_mass = torch.addmm(layers[0][1], x, layers[0][0]).relu(), p[:-1], p[-1]
                continue
            mixed = self.pair(x, input_mass, *layers[0])
            for k, entry in enumerate(entries.split(self.widths, dim=1)):
                mixed = mixed + self.pair(entry, masses[k], *layers[1 + k])
            passed = p[-1] * masses
            merged = p[:-1] + passed
            entries = self.by_column(p[:-1] / merged) * mixed + self.by_column(passed / merged) * entries
            masses, input_mass = merged, p[-1] * input_mass
        weight = torch.cat([weight for weight, _ in self.output[1:]]).flatten() * self.by_column(masses)
        bias = torch.cat([bias for _, bias in self.output[1:]]) @ masses
        own = torch.addmv(self.output[0][1], x, self.output[0][0].flatten()) * input_mass
        return entries @ weight + bias + own


class Latency:
    """Equations (4) and (6) with the scripted prices T(w -> k) = slope.w.k + layer, a user column counting `user_share`."""

    def __init__(self, plan):
        features, prices = plan["features"], plan["prices"]
        self.fetch = torch.tensor([f["fetch_ms"] for f in features])
        self.groups = [
            (torch.tensor([i for i, f in enumerate(features) if f["source"] == source]), plan[rate])
            for source, rate in (("matching", "beta_ms"), ("store", "gamma_ms"))
        ]
        share = {"user": prices["user_share"], "item": 1.0}
        # Columns of a feature, each at the price of its side.
        self.charged = torch.tensor([f["width"] * share[f["side"]] for f in features])
        widths = torch.tensor(plan["mixops"][0][:-1], dtype=torch.float32)
        self.slope, self.layer, self.fixed = prices["slope_ms"], prices["layer_ms"], prices["fixed_ms"]
        self.widths = widths
        self.inner = self.slope * widths[:, None] * widths[None, :] + self.layer
        self.to_output = self.slope * widths + self.layer

    def features_ms(self, theta):
        fetch = theta * self.fetch
        groups = [fetch[of].max(0).values + rate * theta[of].sum() for of, rate in self.groups]
        return torch.where(groups[1] > groups[0], groups[1], groups[0])

    def network_ms(self, theta, probabilities):
        charged = theta @ self.charged
        first = self.slope * charged * self.widths + self.layer
        total, masses, input_mass = self.fixed, None, 1.0
        for p in probabilities:
            q = p[:-1]
            total = total + input_mass * (q @ first)
            if masses is None:
                masses, input_mass = q, p[-1]
            else:
                total = total + masses @ (self.inner @ q)
                masses, input_mass = q + p[-1] * masses, p[-1] * input_mass
        return total + input_mass * (self.slope * charged + self.layer) + masses @ self.to_output


class JointAdam:
    """Adam whose second moment is the mean square of the whole gradient."""

    def __init__(self, parameter, rate):
        self.parameter, self.rate, self.steps = parameter, rate, 0
        self.first, self.second = torch.zeros_like(parameter), torch.zeros(())

    @torch.no_grad()
    def step(self):
        self.steps += 1
        gradient = self.parameter.grad
        self.first.lerp_(gradient, 0.1)
        self.second.lerp_(gradient.square().mean(), 0.001)
        root = (self.second / (1 - 0.999**self.steps)).sqrt() + 1e-8
        self.parameter.sub_(self.first / root, alpha=self.rate / (1 - 0.9**self.steps))
        self.parameter.grad = None


class Search:
    def __init__(self, folder, compiled=False, scaled_first=False):
        plan = json.loads((folder / "plan.json").read_text())
        self.plan, self.settings = plan, plan["settings"]
        self.data, self.teacher = Data(folder, plan), Teacher(folder, plan)
        self.supernet, self.latency = Supernet(folder, plan, scaled_first), Latency(plan)
        rates = self.settings
        self.theta_adam = JointAdam(self.supernet.free, rates["theta_learning_rate"])
        self.adam = torch.optim.AdamW(
            [
                {"params": self.supernet.weights, "lr": rates["learning_rate"]},
                {"params": self.supernet.alpha, "lr": rates["alpha_learning_rate"]},
            ],
            weight_decay=0.0,
            fused=True,
        )
        self.shares = None
        if compiled:
            # With it, inductor of torch 2.15 overwrites the entries that the weights' gradients still need: wrong gradients of the
            # second Mixop, without a word.
            torch._inductor.config.inplace_buffers = False
        self.losses = torch.compile(self.losses_of, dynamic=False) if compiled else self.losses_of

    def begin(self, rows):
        """What depends on the rows that are trained on."""
        count = torch.bincount(self.data.partitions[rows], minlength=self.plan["partitions"])
        self.shares = count / len(rows)

    def losses_of(self, train, judge, uniform, ramp):
        """Loss1 and Loss2. `train` and `judge`: embedded rows and what belongs to them."""
        settings, supernet = self.settings, self.supernet
        theta = supernet.free.sigmoid()
        gates = (uniform < theta).float() - theta.detach() + theta
        columns = gates.repeat_interleave(self.teacher.width, output_size=len(gates) * self.teacher.width)

        embedded, labels, weights, partitions = judge
        logits = self.teacher.heads(embedded * columns)
        own = torch.nn.functional.one_hot(partitions, len(self.shares)).float()
        weights_of_heads = (own - self.shares) * gates[self.plan["partition_feature"]] + self.shares
        ranking = weighted(cross_entropy((logits * weights_of_heads).sum(1), labels, reduction="none"), weights)
        probabilities = [alpha.softmax(0) for alpha in supernet.alpha]
        constant = [p.detach() for p in probabilities]
        latency = self.latency.features_ms(theta) + self.latency.network_ms(theta, constant)
        loss1 = ranking + settings["lambda"] * ramp * latency

        embedded, labels, weights, soft = train
        logits = supernet.forward(embedded * columns.detach(), probabilities)
        ranking = weighted(cross_entropy(logits, labels, reduction="none"), weights)
        distilled = (soft - logits.sigmoid()).square().mean()
        latency = self.latency.network_ms(theta.detach(), probabilities)
        lambda1 = settings["lambda1"]
        loss2 = (1 - lambda1) * ranking + lambda1 * distilled + settings["lambda2"] * ramp * latency
        return loss1, loss2

    def batch(self, rows):
        data = self.data
        return self.teacher.embed(data.ids[rows]), data.labels[rows], data.weights[rows]

    def step(self, train, judge, uniform, ramp):
        train = (*self.batch(train), self.data.soft[train])
        judge = (*self.batch(judge), self.data.partitions[judge])
        loss1, loss2 = self.losses(train, judge, uniform, ramp)
        self.adam.zero_grad(set_to_none=True)
        (loss1 + loss2).backward()
        self.adam.step()
        self.theta_adam.step()
        return loss1.item(), loss2.item()

    def steps(self, count):
        """The time of each of `count` steps over freshly shuffled rows, and of the scores of the validation rows after them."""
        size = self.settings["batch_size"]
        begin = time.perf_counter()
        rows = self.data.train[: count * size]
        self.begin(rows)
        order = rows[torch.randperm(len(rows))]
        judges = endless(self.data.held_out, size)
        times = []
        for done in range(count):
            train = order[done * size : (done + 1) * size]
            ramp = min(done / count / self.settings["lambda_ramp_epochs"], 1.0)
            losses = self.step(train, next(judges), torch.rand(len(self.plan["features"])), torch.tensor(ramp))
            assert all(loss == loss for loss in losses), "a loss is not a number"
            now = time.perf_counter()
            times.append((now - begin) * 1e3)
            begin = now
        auc = self.score()
        return {"ms": times, "score_ms": (time.perf_counter() - begin) * 1e3, "auc": auc}

    @torch.no_grad()
    def score(self):
        supernet, rows = self.supernet, self.data.valid
        open_gates = (supernet.free > 0).float().repeat_interleave(self.teacher.width)
        probabilities = [alpha.softmax(0) for alpha in supernet.alpha]
        scores = [
            supernet.forward(self.teacher.embed(self.data.ids[part]) * open_gates, probabilities).sigmoid()
            for part in rows.split(4096)
        ]
        return auc(torch.cat(scores), self.data.labels[rows])

    def replayed(self):
        """The losses of the steps that the Rust peer took, from its weights over its rows and draws."""
        steps = safetensors(self.folder / "steps.safetensors")
        size, uniforms = self.settings["batch_size"], steps["uniforms"]
        train, judges = steps["train"].long(), steps["judges"].long()
        self.begin(train)
        found = []
        for done, uniform in enumerate(uniforms):
            at = slice(done * size, (done + 1) * size)
            ramp = min(done / len(uniforms) / self.settings["lambda_ramp_epochs"], 1.0)
            found.append(self.step(train[at], judges[at], uniform, torch.tensor(ramp)))
        return found


def weighted(losses, weights):
    return (losses * weights).sum() / weights.sum()


def endless(rows, size):
    while True:
        order = rows[torch.randperm(len(rows))]
        yield from (part for part in order.split(size) if len(part) == size)


def auc(scores, labels):
    """Area under the curve; scores that tie count in their order, which is enough for a look."""
    labels = labels[scores.argsort()]
    ranks = torch.arange(1, len(labels) + 1, dtype=torch.float64)
    positives = labels.sum().item()
    return ((ranks @ labels.double()).item() - positives * (positives + 1) / 2) / (positives * (len(labels) - positives))


def main(folder):
    protocol.best_practice()
    folder = Path(folder)
    Search.folder = folder
    kinds = {"eager": (False, False), "eager, masses on the inputs": (False, True), "compiled": (True, False)}
    notes, searches, right = {}, {}, None
    for name, kind in kinds.items():
        try:
            losses = Search(folder, *kind).replayed()
            searches[name] = Search(folder, *kind)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other variants still count
            notes[name] = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            continue
        right = right or losses
        apart = max(abs(a - b) for pair in zip(losses, right) for a, b in zip(*pair))
        if apart > protocol.TOLERANCE:
            notes[name] = f"wrong: its losses are {apart:.2g} apart"
            del searches[name]
    times = {name: [] for name in searches}
    for _ in range(3):
        for name, search in searches.items():
            times[name] += search.steps(4)["ms"][1:]
    times = {name: round(min(found), 2) for name, found in times.items()}
    best = min(times, key=times.get)
    # The others go, so that memory is that of one.
    search = searches.pop(best)
    searches.clear()
    gc.collect()
    protocol.serve({"search": search.steps}, {"variant": best, "variants_ms": times | notes, "losses": right})


if __name__ == "__main__":
    main(sys.argv[1])
