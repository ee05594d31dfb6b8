"""What this machine gives in large square single-precision matrix products."""

import time

import torch

import protocol

SIZE = 3072


def main():
    protocol.best_practice()
    a, b, c = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE), torch.empty(SIZE, SIZE)

    def products(count):
        rates = []
        for _ in range(count):
            begin = time.perf_counter()
            torch.mm(a, b, out=c)
            rates.append(2 * SIZE**3 / (time.perf_counter() - begin) / 1e9)
        return {"gflops": rates}

    products(1)
    protocol.serve({"gemm": products}, {"size": SIZE})


if __name__ == "__main__":
    main()
