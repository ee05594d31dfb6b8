"""Step of a plain network: 320-512-256-128-1 on 4,096 rows, forward, backward, fused AdamW. The input needs no gradient."""

import torch
from torch import nn

import protocol

ROWS, WIDTHS = 4096, [320, 512, 256, 128]


def network():
    layers = []
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(WIDTHS[-1], 1))


def step_of(compiled):
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    x = torch.randn(ROWS, WIDTHS[0])
    y = (torch.arange(ROWS) % 2).float()

    def loss_of(x, y):
        return nn.functional.binary_cross_entropy_with_logits(model(x).squeeze(1), y)

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
    variants = {"eager": lambda: step_of(False), "compiled": lambda: step_of(True)}
    best, step, times = protocol.fastest(variants)
    protocol.serve({"mlp": protocol.repeated(step)}, {"variant": best, "variants_ms": times})


if __name__ == "__main__":
    main()
