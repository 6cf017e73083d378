/*
 * This file is compiled for the guest and, for the expected results, for the host. So it uses
 * nothing whose result C leaves to the implementation: it has unsigned arithmetic, types of fixed
 * size, and no addresses in results.
 */
#include "workload.h"

#include <stddef.h>

/* CRC-32, computed bytewise with a table. */

static uint32_t crc_table[256];

static void make_crc_table(void) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
        }
        crc_table[byte] = crc;
    }
}

static uint32_t crc_byte(uint32_t crc, uint8_t byte) {
    return (crc >> 8) ^ crc_table[(crc ^ byte) & 0xff];
}

static uint32_t crc_word(uint32_t crc, uint32_t word) {
    for (int shift = 0; shift < 32; shift += 8) {
        crc = crc_byte(crc, (uint8_t)(word >> shift));
    }
    return crc;
}

static uint32_t next_random(uint32_t* state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* A linked list that is searched, reversed and sorted by merging. */

#define NODES 400

struct node {
    struct node* next;
    uint16_t key;
    uint16_t rank;
};

static struct node nodes[NODES];

static struct node* build_list(uint32_t seed) {
    struct node* head = NULL;
    for (uint16_t i = 0; i < NODES; ++i) {
        /* The nodes are spread over the array, so that consecutive ones are not neighbours. */
        struct node* node = &nodes[(i * 37u) % NODES];
        node->key = (uint16_t)next_random(&seed);
        node->rank = i;
        node->next = head;
        head = node;
    }
    return head;
}

static struct node* reverse(struct node* list) {
    struct node* reversed = NULL;
    while (list != NULL) {
        struct node* next = list->next;
        list->next = reversed;
        reversed = list;
        list = next;
    }
    return reversed;
}

static int by_key(const struct node* a, const struct node* b) {
    return a->key <= b->key;
}

static int by_rank(const struct node* a, const struct node* b) {
    return a->rank <= b->rank;
}

static struct node* merge(struct node* a, struct node* b,
                          int (*in_order)(const struct node*, const struct node*)) {
    struct node head;
    struct node* tail = &head;
    while (a != NULL && b != NULL) {
        struct node** smaller = in_order(a, b) ? &a : &b;
        tail->next = *smaller;
        tail = *smaller;
        *smaller = (*smaller)->next;
    }
    tail->next = a != NULL ? a : b;
    return head.next;
}

static struct node* sort(struct node* list, unsigned length,
                         int (*in_order)(const struct node*, const struct node*)) {
    if (length < 2) {
        if (list != NULL) {
            list->next = NULL;
        }
        return list;
    }
    struct node* middle = list;
    for (unsigned i = 0; i < length / 2; ++i) {
        middle = middle->next;
    }
    /* Sorting the first half cuts off the second, so this keeps the start of the second. */
    struct node* first = sort(list, length / 2, in_order);
    return merge(first, sort(middle, length - length / 2, in_order), in_order);
}

static uint32_t list_work(uint32_t crc, uint32_t seed) {
    struct node* list = sort(build_list(seed), NODES, by_key);
    for (const struct node* node = list; node != NULL; node = node->next) {
        crc = crc_word(crc, ((uint32_t)node->key << 16) | node->rank);
    }
    list = reverse(list);
    for (unsigned i = 0; i < 16; ++i) {
        const uint16_t wanted = (uint16_t)next_random(&seed);
        const struct node* found = list;
        while (found->next != NULL && found->key > wanted) {
            found = found->next;
        }
        crc = crc_word(crc, found->rank);
    }
    list = sort(list, NODES, by_rank);
    for (const struct node* node = list; node != NULL; node = node->next) {
        crc = crc_byte(crc, (uint8_t)node->key);
    }
    return crc;
}

/* Multiplication of matrices of 16-bit elements, and extraction of bit fields. */

#define ORDER 24

static int16_t matrix_a[ORDER][ORDER];
static int16_t matrix_b[ORDER][ORDER];
static int32_t product[ORDER][ORDER];

static uint32_t matrix_work(uint32_t crc, uint32_t seed) {
    for (int i = 0; i < ORDER; ++i) {
        for (int j = 0; j < ORDER; ++j) {
            matrix_a[i][j] = (int16_t)(next_random(&seed) % 2001) - 1000;
            matrix_b[i][j] = (int16_t)(next_random(&seed) % 2001) - 1000;
        }
    }
    int64_t trace = 0;
    for (int i = 0; i < ORDER; ++i) {
        for (int j = 0; j < ORDER; ++j) {
            int32_t sum = 0;
            for (int k = 0; k < ORDER; ++k) {
                sum += matrix_a[i][k] * matrix_b[k][j];
            }
            product[i][j] = sum;
            trace += (int64_t)sum * (i - j);
        }
    }
    for (int i = 0; i < ORDER; ++i) {
        for (int j = 0; j < ORDER; ++j) {
            const uint32_t bits = (uint32_t)product[i][j];
            crc = crc_word(crc, ((bits >> 2) & 0xffff) * ((bits >> 5) & 0x7f) + bits % 13);
        }
    }
    return crc_word(crc_word(crc, (uint32_t)trace), (uint32_t)(trace / 1000003));
}

/* A state machine that recognizes numbers in several notations. */

enum state {
    START,
    SIGN,
    ZERO,
    DECIMAL,
    HEX_PREFIX,
    HEX,
    POINT,
    FRACTION,
    EXPONENT,
    EXPONENT_SIGN,
    SCALE,
    INVALID,
    STATES
};

static const char TEXT[] =
    "5012,1234,-874,+122,0x1f,0XBEEF,35.54400,.1234500,-110.700,+0.64400,"
    "5.500e+3,-.123e-2,-87e+832,+0.6e-12,T0.3e-1F,-T.T++Tq,1T3.4e4z,34.0e-T^,"
    "0x,0xg1,1e,e1,--4,4-4,,007,3.1415926535,";

static int is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int is_hex_digit(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static enum state advance(enum state state, char c) {
    switch (state) {
    case START:
        if (c == '+' || c == '-') {
            return SIGN;
        }
        /* fallthrough */
    case SIGN:
        return c == '0' ? ZERO : is_digit(c) ? DECIMAL : c == '.' ? POINT : INVALID;
    case ZERO:
        if (c == 'x' || c == 'X') {
            return HEX_PREFIX;
        }
        /* fallthrough */
    case DECIMAL:
        return is_digit(c) ? DECIMAL : c == '.' ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case HEX_PREFIX:
    case HEX:
        return is_hex_digit(c) ? HEX : INVALID;
    case POINT:
        return is_digit(c) ? FRACTION : INVALID;
    case FRACTION:
        return is_digit(c) ? FRACTION : c == 'e' ? EXPONENT : INVALID;
    case EXPONENT:
        if (c == '+' || c == '-') {
            return EXPONENT_SIGN;
        }
        /* fallthrough */
    case EXPONENT_SIGN:
    case SCALE:
        return is_digit(c) ? SCALE : INVALID;
    default:
        return INVALID;
    }
}

static uint32_t scanner_work(uint32_t crc, uint32_t seed) {
    static char text[sizeof TEXT];
    for (size_t i = 0; i < sizeof TEXT; ++i) {
        text[i] = TEXT[i];
    }
    uint32_t ended[STATES] = {0};
    for (int round = 0; round < 24; ++round) {
        enum state state = START;
        for (const char* c = text; *c != '\0'; ++c) {
            if (*c == ',') {
                ++ended[state];
                state = START;
            } else {
                state = advance(state, *c);
            }
        }
        /* Changes a letter for the next round, unless it ends a number. */
        char* spot = &text[next_random(&seed) % (sizeof TEXT - 1)];
        if (*spot != ',') {
            *spot = (char)(*spot ^ (1 + next_random(&seed) % 15));
            *spot = *spot == ',' || *spot == '\0' ? '7' : *spot;
        }
    }
    for (int state = 0; state < STATES; ++state) {
        crc = crc_word(crc, ended[state]);
    }
    for (const char* c = text; *c != '\0'; ++c) {
        crc = crc_byte(crc, (uint8_t)*c);
    }
    return crc;
}

struct workload_result run_workload(unsigned rounds) {
    struct workload_result result = {~0u, ~0u, ~0u, ~0u};
    make_crc_table();
    for (unsigned round = 0; round < rounds; ++round) {
        result.list = list_work(result.list, round);
        result.matrix = matrix_work(result.matrix, round ^ 0x5555);
        result.scanner = scanner_work(result.scanner, round ^ 0xaaaa);
    }
    result.total = crc_word(crc_word(crc_word(~0u, result.list), result.matrix), result.scanner);
    return result;
}
