/* A workload of typical tasks of a processor: lists, matrices, a state machine and checksums. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stdint.h>

/* Checksums of the results of each part, over all rounds. */
struct workload_result {
    uint32_t list;
    uint32_t matrix;
    uint32_t scanner;
    uint32_t total;
};

struct workload_result run_workload(unsigned rounds);

#endif
