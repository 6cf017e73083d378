// A program for the RP2040 that uses all kinds of memory and some devices. It prints a line for
// each part to UART0, and stops at a breakpoint. The boot ROM has the number of rounds at
// address 8.

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t*)(address))
#define ROUNDS REGISTER(8)

#define UART0 0x40034000u
#define TIMER 0x40054000u
#define SCRATCH 0x4005800cu // of the watchdog
#define DMA 0x50000000u
#define DPRAM 0x50100000u
#define SIO 0xd0000000u
#define PPB 0xe000e000u
#define SET 0x2000u
#define CLEAR 0x3000u

#define PRIMES 4096
#define ITEMS 256
#define BYTES 2048

extern void reset(void);
static void tick(void);
static void alarm(void);

#define STACK_TOP 0x20040000u

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[48] = {
    [0] = STACK_TOP,
    [1] = (uintptr_t)reset,
    [15] = (uintptr_t)tick,
    [16] = (uintptr_t)alarm,
};

static volatile uint32_t ticks, alarms;
static uint8_t composite[PRIMES];
static int32_t items[ITEMS];
static int16_t halves[ITEMS];
static uint32_t crc_table[256];
static uint8_t source[BYTES], target[BYTES + 8];
struct node {
    struct node* next;
    uint32_t value;
};
static struct node nodes[ITEMS];

static void print_char(char c) {
    // A byte store, which the bus replicates.
    *(volatile uint8_t*)UART0 = (uint8_t)c;
}

static void print(const char* text) {
    while (*text != 0) {
        print_char(*text++);
    }
}

static void print_value(const char* name, uint32_t value) {
    print(name);
    print(" ");
    for (int shift = 28; shift >= 0; shift -= 4) {
        print_char("0123456789abcdef"[(value >> shift) & 15]);
    }
    print("\n");
}

static uint32_t random_state;

static uint32_t random_value(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

static uint32_t sieve(void) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < PRIMES; i++) {
        composite[i] = 0;
    }
    for (uint32_t i = 2; i < PRIMES; i++) {
        if (composite[i] == 0) {
            count++;
            for (uint32_t j = i + i; j < PRIMES; j += i) {
                composite[j] = 1;
            }
        }
    }
    return count;
}

static void sort(int32_t* low, int32_t* high) {
    while (low < high) {
        int32_t *left = low, *right = high, pivot = low[(high - low) >> 1];
        while (left <= right) {
            while (*left < pivot) {
                left++;
            }
            while (*right > pivot) {
                right--;
            }
            if (left <= right) {
                int32_t swapped = *left;
                *left++ = *right;
                *right-- = swapped;
            }
        }
        sort(low, right);
        low = left;
    }
}

static uint32_t quicksort(void) {
    for (uint32_t i = 0; i < ITEMS; i++) {
        items[i] = (int32_t)random_value() - 0x800000;
    }
    sort(items, items + ITEMS - 1);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        sum = sum * 31 + (uint32_t)items[i];
    }
    return sum;
}

/** Insertion sort of half-words, which are sign-extended. */
static uint32_t sort_halves(void) {
    for (uint32_t i = 0; i < ITEMS / 4; i++) {
        int16_t value = (int16_t)random_value();
        uint32_t j = i;
        for (; j > 0 && halves[j - 1] > value; j--) {
            halves[j] = halves[j - 1];
        }
        halves[j] = value;
    }
    uint32_t sum = 0;
    for (uint32_t i = 0; i < ITEMS / 4; i++) {
        sum = sum * 31 + (uint32_t)halves[i];
    }
    return sum;
}

static uint32_t crc32(const uint8_t* bytes, uint32_t length) {
    uint32_t crc = ~0u;
    for (uint32_t i = 0; i < length; i++) {
        crc = crc_table[(crc ^ bytes[i]) & 0xff] ^ (crc >> 8);
    }
    return ~crc;
}

static void make_crc_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 1) != 0 ? (crc >> 1) ^ 0xedb88320u : crc >> 1;
        }
        crc_table[i] = crc;
    }
}

/** Links the nodes in a shuffled order, reverses the list, and adds up the values. */
static uint32_t list(void) {
    struct node* head = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        struct node* node = &nodes[(i * 77) & (ITEMS - 1)];
        node->value = random_value();
        node->next = head;
        head = node;
    }
    struct node* reversed = 0;
    while (head != 0) {
        struct node* next = head->next;
        head->next = reversed;
        reversed = head;
        head = next;
    }
    uint32_t sum = 0;
    for (struct node* node = reversed; node != 0; node = node->next) {
        sum = sum * 31 + node->value;
    }
    return sum;
}

/** Copies to and from all alignments: words where both are aligned, bytes elsewhere. */
static void copy(uint8_t* to, const uint8_t* from, uint32_t length) {
    if ((((uintptr_t)to ^ (uintptr_t)from) & 3) == 0) {
        for (; ((uintptr_t)to & 3) != 0 && length > 0; length--) {
            *to++ = *from++;
        }
        for (; length >= 4; length -= 4, to += 4, from += 4) {
            *(uint32_t*)to = *(const uint32_t*)from;
        }
    }
    while (length-- > 0) {
        *to++ = *from++;
    }
}

static uint32_t copies(void) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < BYTES; i++) {
        source[i] = (uint8_t)random_value();
    }
    for (uint32_t shift = 0; shift < 8; shift++) {
        copy(target + shift, source + (shift >> 1), BYTES / 4);
        sum = sum * 31 + crc32(target, BYTES / 4);
    }
    return sum;
}

static void tick(void) {
    ticks++;
}

static void alarm(void) {
    alarms++;
    REGISTER(TIMER + 0x34) = 1;
}

static uint32_t interrupts(void) {
    ticks = alarms = 0;
    REGISTER(PPB + 0xd08) = (uintptr_t)vectors;
    // SysTick, every 1000 cycles, while the CPU copies.
    REGISTER(PPB + 0x14) = 999;
    REGISTER(PPB + 0x18) = 0;
    REGISTER(PPB + 0x10) = 7;
    uint32_t sum = copies();
    REGISTER(PPB + 0x10) = 0;
    // Alarm 0 of the timer, for which the CPU waits.
    REGISTER(PPB + 0x100) = 1;
    REGISTER(TIMER + SET + 0x38) = 1;
    for (int i = 0; i < 5; i++) {
        REGISTER(TIMER + 0x10) = REGISTER(TIMER + 0x28) + 20;
        uint32_t before = alarms;
        while (alarms == before) {
            __asm__ volatile("wfi");
        }
    }
    REGISTER(TIMER + CLEAR + 0x38) = 1;
    print_value("ticks", ticks);
    print_value("alarms", alarms);
    return sum;
}

/** Starts channel 0. `size` is the binary logarithm of the bytes of an element. */
static void transfer(uintptr_t to, uintptr_t from, uint32_t count, uint32_t size, uint32_t fixed) {
    REGISTER(DMA) = from;
    REGISTER(DMA + 4) = to;
    REGISTER(DMA + 8) = count;
    REGISTER(DMA + 12) = 1 | size << 2 | 1 << 4 | !fixed << 5 | 0x3f << 15;
    while ((REGISTER(DMA + 12) & 1 << 24) != 0) {
    }
}

static const char banner[] = "sent by DMA\n";

static uint32_t dma(void) {
    uint32_t sum = 0;
    for (uint32_t size = 0; size < 3; size++) {
        for (uint32_t i = 0; i < BYTES; i++) {
            target[i] = 0;
        }
        transfer((uintptr_t)target, (uintptr_t)source, 64, size, 0);
        sum = sum * 31 + crc32(target, BYTES / 4);
    }
    transfer(UART0, (uintptr_t)banner, sizeof banner - 1, 0, 1);
    return sum;
}

/** Narrow accesses to the memory of the USB controller, a scratch register, and SIO. */
static uint32_t devices(void) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 64; i++) {
        ((volatile uint8_t*)(DPRAM + 0x200))[i] = (uint8_t)(i * 7);
        ((volatile uint16_t*)(DPRAM + 0x300))[i] = (uint16_t)(i * 777);
    }
    sum += crc32((const uint8_t*)(DPRAM + 0x200), 256);
    *(volatile uint8_t*)(SCRATCH + 1) = 0x5a;
    sum = sum * 31 + REGISTER(SCRATCH);
    *(volatile uint16_t*)(SCRATCH + 2) = 0x1234;
    sum = sum * 31 + REGISTER(SCRATCH);
    sum = sum * 31 + *(volatile uint8_t*)(SCRATCH + 3);
    // The divider, and the atomic aliases of the GPIO outputs.
    REGISTER(SIO + 0x60) = 1000003;
    REGISTER(SIO + 0x64) = 17;
    sum = sum * 31 + REGISTER(SIO + 0x70);
    sum = sum * 31 + REGISTER(SIO + 0x74);
    REGISTER(SIO + 0x20) = 0x00ff00;
    REGISTER(SIO + 0x24) = 0x30;
    REGISTER(SIO + 0x28) = 0x0f00;
    *(volatile uint8_t*)(SIO + 0x20) = 0x81;
    return sum * 31 + REGISTER(SIO + 0x20);
}

__attribute__((noreturn, used)) void reset(void) {
    uint32_t crc = 0, sum = 0;
    random_state = 1;
    make_crc_table();
    for (uint32_t round = ROUNDS; round > 0; round--) {
        crc = crc32((const uint8_t*)vectors, 1024);
        // The same bytes of flash, in a mirror.
        crc ^= crc32((const uint8_t*)vectors + 0x3000000, 1000);
        uint32_t primes = sieve();
        sum = sum * 31 + quicksort();
        sum = sum * 31 + sort_halves();
        sum = sum * 31 + list();
        sum = sum * 31 + copies();
        sum = sum * 31 + primes;
    }
    print_value("crc of flash", crc);
    print_value("primes", sieve());
    print_value("all rounds", sum);
    print_value("interrupts", interrupts());
    print_value("dma", dma());
    print_value("devices", devices());
    for (;;) {
        __asm__ volatile("bkpt 0");
    }
}
