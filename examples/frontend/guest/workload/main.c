#include "machine.h"
#include "workload.h"

#define DEFAULT_ROUNDS 150

int main(uint64_t argument) {
    const uint64_t rounds = argument != 0 ? argument : DEFAULT_ROUNDS;
    const struct workload_result result = run_workload((unsigned)rounds);
    print("workload: %d rounds\n", rounds);
    print("list %x, matrix %x, scanner %x, total %x\n", (uint64_t)result.list,
          (uint64_t)result.matrix, (uint64_t)result.scanner, (uint64_t)result.total);
    return 0;
}
