// The first and only program of the Linux guest: it checks what the kernel and the machine do for
// programs, prints a line for each check, and switches the machine off.
//
// It uses the kernel's nolibc, because a C library has floating-point instructions.
#include "nolibc.h"

#include "calls.h"

#define PAGE 4096
#define SECTOR 512

static int failures;

static char* map(size_t length) {
    return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/** Whether `run` returns true in a child. */
static int succeeds(int (*run)(void)) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        exit(run() ? 0 : 1);
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/** Runs a check in a child, so that the guest goes on if the check crashes. */
static void check(const char* name, int (*run)(void)) {
    int passed = succeeds(run);
    printf("init: %s: %s\n", name, passed ? "ok" : "FAILED");
    failures += !passed;
}

static int has_proc(void) {
    char text[256];
    mkdir("/proc", 0755);
    if (mount("proc", "/proc", "proc", 0, NULL) < 0) {
        return 0;
    }
    int file = open("/proc/version", O_RDONLY);
    int length = read(file, text, sizeof text - 1);
    close(file);
    return length > 14 && memcmp(text, "Linux version ", 14) == 0;
}

/** Writes all of 16 MiB, which are pages that the kernel maps one by one, and reads them again. */
static int has_memory(void) {
    const size_t words = (16 << 20) / sizeof(unsigned long);
    unsigned long* memory = (unsigned long*)map(words * sizeof *memory);
    if (memory == MAP_FAILED) {
        return 0;
    }
    unsigned long sum = 0;
    for (size_t i = 0; i < words; i += 8) {
        sum |= memory[i];
        memory[i] = i * 0x9e3779b97f4a7c15;
    }
    for (size_t i = 0; i < words; i += 8) {
        sum |= memory[i] ^ (i * 0x9e3779b97f4a7c15);
    }
    // A value across the end of a page, whose two pages need not be adjacent in physical memory.
    volatile unsigned long* across = (volatile unsigned long*)((char*)memory + PAGE - 3);
    *across = 0x0123456789abcdef;
    int passed = sum == 0 && *across == 0x0123456789abcdef && ((char*)memory)[PAGE] == 0x89;
    return munmap(memory, words * sizeof *memory) == 0 && passed;
}

static char* shared_page;

static int change_page(void) {
    int unchanged = shared_page[100] == 1;
    shared_page[100] = 2;
    return unchanged && shared_page[100] == 2;
}

/** A child has a copy of its parent's memory, which changes with neither. */
static int copies_on_write(void) {
    shared_page = map(PAGE);
    shared_page[100] = 1;
    int passed = 1;
    for (int i = 0; i < 8; i++) {
        passed &= succeeds(change_page);
    }
    return passed && shared_page[100] == 1;
}

static int run_again(void) {
    char* const arguments[] = {"/init", "again", NULL};
    char* const environment[] = {NULL};
    execve("/init", arguments, environment);
    return 0;
}

static int executes(void) {
    return succeeds(run_again);
}

static volatile int caught;
static char* protected_page;

static void on_signal(int number) {
    caught = number;
    if (number == SIGSEGV) {
        mprotect_all(protected_page, PAGE);
    }
}

/** Signals from a process, from the timer, and for an access that the page tables refuse. */
static int has_signals(void) {
    catch_signal(SIGUSR1, on_signal);
    catch_signal(SIGSEGV, on_signal);
    catch_signal(SIGALRM, on_signal);
    kill(getpid(), SIGUSR1);
    int passed = caught == SIGUSR1;
    alarm_after(5000);
    while (caught != SIGALRM) {
        sched_yield();
    }
    protected_page = map(PAGE);
    mprotect_none(protected_page, PAGE);
    protected_page[7] = 42;
    return passed && caught == SIGSEGV && protected_page[7] == 42;
}

#define THREADS 4
#define ROUNDS 10000

static int counter;
static int lock;

static void count(void) {
    for (int i = 0; i < ROUNDS; i++) {
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE) != 0) {
            sched_yield();
        }
        counter++;
        __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    }
}

static int has_threads(void) {
    static int running[THREADS];
    for (int i = 0; i < THREADS; i++) {
        char* stack = map(4 * PAGE);
        running[i] = 1;
        if (start_thread(count, stack + 4 * PAGE, &running[i]) < 0) {
            return 0;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        join_thread(&running[i]);
    }
    return counter == THREADS * ROUNDS;
}

static int ends[2];

static int write_pipe(void) {
    unsigned char block[1000];
    close(ends[0]);
    for (int i = 0; i < 200; i++) {
        memset(block, i, sizeof block);
        if (write(ends[1], block, sizeof block) != sizeof block) {
            return 0;
        }
    }
    return 1;
}

/** A child sends more than a pipe can hold, so that both processes have to wait. */
static int has_pipes(void) {
    unsigned char byte[256];
    int status;
    if (open_pipe(ends) < 0) {
        return 0;
    }
    pid_t child = fork();
    if (child == 0) {
        exit(write_pipe() ? 0 : 1);
    }
    close(ends[1]);
    int at = 0;
    int passed = 1;
    for (int length; (length = read(ends[0], byte, sizeof byte)) > 0;) {
        for (int i = 0; i < length; i++, at++) {
            passed &= byte[i] == (unsigned char)(at / 1000);
        }
    }
    close(ends[0]);
    return waitpid(child, &status, 0) == child && status == 0 && at == 200000 && passed;
}

/** Reads what the host wrote to the disk, and leaves an answer in the sectors after it. */
static int has_disk(void) {
    static const char question[] = "What is the answer?";
    static const char answer[] = "The answer is 42.";
    static char blocks[64 * SECTOR];
    int disk = open("/dev/vda", O_RDWR);
    if (disk < 0 || read(disk, blocks, SECTOR) != SECTOR) {
        return 0;
    }
    int passed = memcmp(blocks, question, sizeof question) == 0;
    for (size_t i = 0; i < sizeof blocks; i++) {
        blocks[i] = answer[i % sizeof answer];
    }
    lseek(disk, PAGE, SEEK_SET);
    passed &= write(disk, blocks, sizeof blocks) == sizeof blocks && fsync(disk) == 0;
    // Without its cache, the kernel reads the disk again.
    passed &= ioctl(disk, BLKFLSBUF, NULL) == 0;
    memset(blocks, 0, sizeof blocks);
    lseek(disk, PAGE, SEEK_SET);
    passed &= read(disk, blocks, sizeof blocks) == sizeof blocks;
    for (size_t i = 0; i < sizeof blocks; i++) {
        passed &= blocks[i] == answer[i % sizeof answer];
    }
    close(disk);
    return passed;
}

int main(int argc, char** argv) {
    if (argc > 1) {
        return strcmp(argv[1], "again") == 0 ? 0 : 1;
    }
    printf("init: started\n");
    check("/proc", has_proc);
    check("memory", has_memory);
    check("fork", copies_on_write);
    check("exec", executes);
    check("signals", has_signals);
    check("threads", has_threads);
    check("pipes", has_pipes);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    check("disk", has_disk);
    printf("init: %d failed\n", failures);
    reboot(LINUX_REBOOT_CMD_POWER_OFF);
    return 1;
}
