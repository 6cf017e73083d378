/* Runs the workload on the host, which prints the expected output. */
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s ROUNDS\n", argv[0]);
        return 2;
    }
    const unsigned rounds = (unsigned)strtoul(argv[1], NULL, 10);
    const struct workload_result result = run_workload(rounds);
    printf("workload: %u rounds\n", rounds);
    printf("list %x, matrix %x, scanner %x, total %x\n", result.list, result.matrix, result.scanner,
           result.total);
    return 0;
}
