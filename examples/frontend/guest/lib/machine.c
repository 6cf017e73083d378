#include "machine.h"

#include <stdarg.h>

#define UART_DATA (*(volatile uint8_t*)0x10000000)
#define UART_LINE_STATUS (*(volatile uint8_t*)0x10000005)
#define UART_CAN_SEND 0x20
#define FINISHER (*(volatile uint32_t*)0x00100000)

static void put(char c) {
    while ((UART_LINE_STATUS & UART_CAN_SEND) == 0) {
    }
    UART_DATA = (uint8_t)c;
}

static void put_number(uint64_t value, unsigned base) {
    char digits[20];
    int count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value != 0);
    while (count > 0) {
        put(digits[--count]);
    }
}

static void put_text(const char* text) {
    while (*text != '\0') {
        put(*text++);
    }
}

void print(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    for (; *format != '\0'; ++format) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        switch (*++format) {
        case 'd': {
            int64_t value = va_arg(arguments, int64_t);
            if (value < 0) {
                put('-');
            }
            put_number(value < 0 ? -(uint64_t)value : (uint64_t)value, 10);
            break;
        }
        case 'x':
            put_number(va_arg(arguments, uint64_t), 16);
            break;
        case 's':
            put_text(va_arg(arguments, const char*));
            break;
        default:
            put(*format);
        }
    }
    va_end(arguments);
}

_Noreturn void power_off(int status) {
    FINISHER = status == 0 ? 0x5555 : ((uint32_t)status << 16) | 0x3333;
    for (;;) {
    }
}

/* The default handler, for programs that expect no traps. */
__attribute__((weak)) uint64_t trap(uint64_t cause, uint64_t epc, uint64_t tval) {
    print("trap: cause %x at %x, value %x\n", cause, epc, tval);
    power_off(1);
}

/* The compiler generates calls of these. */
void* memset(void* target, int value, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        ((volatile char*)target)[i] = (char)value;
    }
    return target;
}

void* memcpy(void* restrict target, const void* restrict source, size_t size) {
    for (size_t i = 0; i < size; ++i) {
        ((volatile char*)target)[i] = ((const char*)source)[i];
    }
    return target;
}
