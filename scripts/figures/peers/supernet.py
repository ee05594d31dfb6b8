"""Step of a supernet without embeddings: 3 Mixops of widths 512, 256, 128, 64, input 320, 2,048 rows, equation (2) with pairwise
MLPs, forward, backward, fused AdamW over weights and operator weights. The input needs no gradient.

The weights of one incoming entry to all operators stand side by side, so a Mixop is one matrix product per incoming entry.
"""

import torch
from torch import nn

import protocol

ROWS, INPUT, WIDTHS, MIXOPS = 2048, 320, [512, 256, 128, 64], 3
OUTPUTS = sum(WIDTHS)


def flop():
    """Multiply-adds count as two. The first layer has no gradient of its input."""
    pairs = (MIXOPS - 1) * OUTPUTS * OUTPUTS + OUTPUTS
    return 2 * ROWS * (3 * pairs + 2 * INPUT * OUTPUTS)


def uniform(inputs, outputs, gain):
    bound = (gain / inputs) ** 0.5
    return nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))


class Supernet(nn.Module):
    def __init__(self, scaled_first):
        super().__init__()
        inputs = [[INPUT]] + [WIDTHS] * (MIXOPS - 1)
        self.weights = nn.ParameterList(uniform(w, OUTPUTS, 6.0) for mixop in inputs for w in mixop)
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(OUTPUTS)) for mixop in inputs for _ in mixop)
        self.output = nn.ParameterList(uniform(w, 1, 1.0) for w in WIDTHS)
        self.output_bias = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in WIDTHS)
        self.alpha = nn.ParameterList(nn.Parameter(torch.zeros(len(WIDTHS))) for _ in range(MIXOPS))
        self.scaled_first = scaled_first

    def pair(self, x, mass, weight, bias):
        """mass . relu(x.W + b). Masses are positive, so they may as well scale what goes in: fewer columns than what comes out."""
        if self.scaled_first:
            return torch.addmm(mass * bias, mass * x, weight).relu_()
        return torch.addmm(bias, x, weight).relu_() * mass

    def forward(self, x):
        mixed = torch.addmm(self.biases[0], x, self.weights[0]).relu_()
        layer = 1
        for alpha in self.alpha[:-1]:
            p = alpha.softmax(0)
            entries, mixed = mixed.split(WIDTHS, dim=1), None
            for k, entry in enumerate(entries):
                part = self.pair(entry, p[k], self.weights[layer], self.biases[layer])
                mixed = part if mixed is None else mixed + part
                layer += 1
        p = self.alpha[-1].softmax(0)
        entries = mixed.split(WIDTHS, dim=1)
        return sum(p[k] * torch.addmm(self.output_bias[k], x, self.output[k]) for k, x in enumerate(entries)).squeeze(1)


def step_of(compiled, scaled_first):
    model = Supernet(scaled_first)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    x = torch.randn(ROWS, INPUT)
    y = (torch.arange(ROWS) % 2).float()

    def loss_of(x, y):
        return nn.functional.binary_cross_entropy_with_logits(model(x), y)

    loss_of = torch.compile(loss_of) if compiled else loss_of

    def step():
        loss = loss_of(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def main():
    protocol.best_practice()
    variants = {
        f"{mode}{', masses on the inputs' if scaled else ''}": lambda compiled=mode == "compiled", scaled=scaled: step_of(compiled, scaled)
        for mode in ("eager", "compiled")
        for scaled in (False, True)
    }
    best, step, times = protocol.fastest(variants)
    protocol.serve({"supernet": protocol.repeated(step)}, {"variant": best, "variants_ms": times, "flop": flop()})


if __name__ == "__main__":
    main()
