/*
 * A flight over a random island: heights by the diamond-square method, light and shadows of a low
 * sun, and a picture that is drawn column by column from the front to the back.
 *
 * Nothing uses floating point. Positions are fixed-point with 16 bits of fraction. A point of the
 * map is one 64-bit word of four 16-bit lanes, so that height, red, green and blue are blended at
 * once.
 */
#include "machine.h"

#define WIDTH 320
#define HEIGHT 200

#define SIZE 512
#define MASK (SIZE - 1)
#define SEA 80

#define DEFAULT_FRAMES 24
#define TICK 1000000

typedef uint64_t lanes;

static int32_t heights[SIZE][SIZE];
static int32_t smooth[SIZE][SIZE];
static lanes map[SIZE][SIZE];
static uint32_t picture[HEIGHT][WIDTH] __attribute__((aligned(8)));
static int horizon_of_column[WIDTH];

static volatile uint64_t ticks;

/* The timer interrupts at a fixed rate while the picture is drawn. */
uint64_t trap(uint64_t cause, uint64_t epc, uint64_t tval) {
    if (cause != (INTERRUPT_CAUSE | TIMER_INTERRUPT)) {
        print("terrain: trap %x at %x, value %x\n", cause, epc, tval);
        power_off(1);
    }
    ++ticks;
    MTIMECMP = MTIMECMP + TICK;
    return epc;
}

static int32_t clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

/* Lanes. */

static lanes color(unsigned red, unsigned green, unsigned blue) {
    return ((lanes)red << 32) | ((lanes)green << 16) | blue;
}

/* Interpolates from a, at part 0, to b, at part 256. */
static lanes mix(lanes a, lanes b, unsigned part) {
    return ((a * (256 - part) + b * part) >> 8) & 0x00ff00ff00ff00ff;
}

/* Adds light of a colour, up to white. */
static lanes add_light(lanes a, lanes light, unsigned part) {
    const lanes sum = a + (((light * part) >> 8) & 0x00ff00ff00ff);
    const lanes over = sum & 0x010001000100;
    return (sum | (over - (over >> 8))) & 0x00ff00ff00ff00ff;
}

static uint32_t pixel(lanes c) {
    return (uint32_t)(((c >> 16) & 0xff0000) | ((c >> 8) & 0xff00) | (c & 0xff));
}

/* Interpolates the map between its points; the height keeps 8 bits of fraction. */
static lanes sample(int64_t x, int64_t y, uint32_t* height) {
    const unsigned x0 = (unsigned)(x >> 16) & MASK;
    const unsigned y0 = (unsigned)(y >> 16) & MASK;
    const unsigned x1 = (x0 + 1) & MASK;
    const unsigned y1 = (y0 + 1) & MASK;
    const unsigned across = (unsigned)(x >> 8) & 0xff;
    const unsigned down = (unsigned)(y >> 8) & 0xff;
    const lanes top = mix(map[y0][x0], map[y0][x1], across);
    const lanes bottom = mix(map[y1][x0], map[y1][x1], across);
    const lanes blend = top * (256 - down) + bottom * down;
    *height = (uint32_t)(blend >> 48);
    return (blend >> 8) & 0x00ff00ff00ff00ff;
}

/* The sine with 16 bits of fraction, approximated by a parabola. A full turn is 1024. */
static int64_t sine(int angle) {
    const int64_t part = angle & 511;
    const int64_t parabola = part * (512 - part); /* up to 65536 */
    const int64_t bent = parabola + ((parabola * (parabola - 65536) >> 16) * 14) / 64;
    return (angle & 512) != 0 ? -bent : bent;
}

static int64_t cosine(int angle) {
    return sine(angle + 256);
}

/* The island. */

static uint32_t random_state = 20240607;

static int32_t random_within(int32_t range) {
    random_state = random_state * 1664525u + 1013904223u;
    return (int32_t)((random_state >> 8) % (uint32_t)(2 * range + 1)) - range;
}

static int32_t at(int x, int y) {
    return heights[y & MASK][x & MASK];
}

static void raise_land(void) {
    int32_t range = 26000;
    for (int y = 0; y < SIZE; y += 128) {
        for (int x = 0; x < SIZE; x += 128) {
            heights[y][x] = random_within(range);
        }
    }
    for (int step = 128; step > 1; step /= 2) {
        const int half = step / 2;
        for (int y = half; y < SIZE; y += step) {
            for (int x = half; x < SIZE; x += step) {
                const int32_t sum = at(x - half, y - half) + at(x + half, y - half) +
                                    at(x - half, y + half) + at(x + half, y + half);
                heights[y][x] = sum / 4 + random_within(range);
            }
        }
        for (int y = 0; y < SIZE; y += half) {
            for (int x = (y & half) != 0 ? 0 : half; x < SIZE; x += step) {
                const int32_t sum =
                    at(x - half, y) + at(x + half, y) + at(x, y - half) + at(x, y + half);
                heights[y][x] = sum / 4 + random_within(range);
            }
        }
        range = range * 31 / 64;
    }
}

/* Scales heights to 0 to 65535, with wide shores and steep peaks. */
static void shape_land(void) {
    int32_t lowest = heights[0][0];
    int32_t highest = heights[0][0];
    for (int y = 0; y < SIZE; ++y) {
        for (int x = 0; x < SIZE; ++x) {
            const int32_t around = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
            smooth[y][x] = (4 * at(x, y) + around) / 8;
            lowest = smooth[y][x] < lowest ? smooth[y][x] : lowest;
            highest = smooth[y][x] > highest ? smooth[y][x] : highest;
        }
    }
    for (int y = 0; y < SIZE; ++y) {
        for (int x = 0; x < SIZE; ++x) {
            const int64_t linear = (int64_t)(smooth[y][x] - lowest) * 65535 / (highest - lowest);
            const int64_t square = linear * linear >> 16;
            heights[y][x] = (int32_t)((linear + 2 * square) / 3);
        }
    }
}

static lanes ground(int32_t height, int32_t slope) {
    const lanes sand = color(214, 190, 140);
    const lanes grass = color(104, 132, 58);
    const lanes forest = color(52, 88, 44);
    const lanes rock = color(120, 106, 96);
    const lanes snow = color(244, 246, 250);
    /* Colours by height above the sea, blended at their borders, and cliffs where it is steep. */
    const int32_t above = height / 256 - SEA + random_within(3);
    lanes c = mix(sand, grass, (unsigned)clamp((above - 3) * 64, 0, 256));
    c = mix(c, forest, (unsigned)clamp((above - 14) * 16, 0, 256));
    c = mix(c, rock, (unsigned)clamp((above - 58) * 12, 0, 256));
    c = mix(c, rock, (unsigned)clamp((slope - 1800) / 4, 0, 256));
    return mix(c, snow, (unsigned)clamp((above - 92) * 16 - slope / 16, 0, 256));
}

static lanes water(int32_t height) {
    const int32_t depth = SEA * 256 - height;
    return mix(color(60, 150, 160), color(18, 62, 104), (unsigned)clamp(depth / 16, 0, 256));
}

/* Applies the light of a low sun in the west. Shadows extend east and fall with the distance. */
static void light_land(void) {
    const int32_t sea = SEA * 256;
    for (int y = 0; y < SIZE; ++y) {
        int32_t shadow = 0;
        /* Goes around twice, since a shadow at the edge comes from the other side. */
        for (int i = 0; i < 2 * SIZE; ++i) {
            const int x = i & MASK;
            const int32_t land = heights[y][x];
            const int32_t height = land < sea ? sea : land;
            shadow = shadow - 330 > height ? shadow - 330 : height;
            if (i < SIZE) {
                continue;
            }
            const int32_t east = at(x + 1, y) - at(x - 1, y);
            const int32_t north = at(x, y + 1) - at(x, y - 1);
            const int32_t dark = clamp((shadow - height) / 6, 0, 256);
            lanes c;
            int32_t sun;
            if (land <= sea) {
                c = water(land);
                sun = 150;
            } else {
                const int32_t slope = (east < 0 ? -east : east) + (north < 0 ? -north : north);
                c = ground(land, slope);
                sun = clamp(130 + east / 8 - north / 24, 0, 256);
            }
            sun = sun * (256 - dark * 7 / 8) / 256;
            /* Light of the sky is blue, light of the sun is golden. */
            const unsigned red = (unsigned)((c >> 32) & 0xff) * (unsigned)(62 + sun) >> 8;
            const unsigned green =
                (unsigned)((c >> 16) & 0xff) * (unsigned)(74 + sun * 13 / 16) >> 8;
            const unsigned blue = (unsigned)(c & 0xff) * (unsigned)(104 + sun * 9 / 16) >> 8;
            map[y][x] =
                ((lanes)(height / 256) << 48) | color((unsigned)clamp((int32_t)red, 0, 255),
                                                      (unsigned)clamp((int32_t)green, 0, 255),
                                                      (unsigned)clamp((int32_t)blue, 0, 255));
        }
    }
}

/* The picture. */

struct camera {
    int64_t x;
    int64_t y;
    int64_t height; /* 8 bits of fraction */
    int heading;
};

#define HORIZON 78
#define FAR_AWAY 900

static const lanes haze = ((lanes)236 << 32) | ((lanes)196 << 16) | 158;

static void draw_land(const struct camera* camera) {
    const int64_t sin = sine(camera->heading);
    const int64_t cos = cosine(camera->heading);
    for (int column = 0; column < WIDTH; ++column) {
        horizon_of_column[column] = HEIGHT;
    }
    for (int64_t z = 6 * 256; z < FAR_AWAY * 256; z += 160 + z / 90) {
        /* The line across the view at this distance starts at its left end. */
        const int64_t depth_x = z * sin >> 8;
        const int64_t depth_y = z * cos >> 8;
        int64_t x = camera->x + depth_x - depth_y;
        int64_t y = camera->y + depth_y + depth_x;
        const int64_t step_x = 2 * depth_y / WIDTH;
        const int64_t step_y = -2 * depth_x / WIDTH;
        const int64_t scale = 96 * 65536 / z;
        const int near = z < 220 * 256;
        const unsigned fog =
            (unsigned)clamp((int32_t)(z * z / (FAR_AWAY * FAR_AWAY * 210)), 0, 256);
        for (int column = 0; column < WIDTH; ++column, x += step_x, y += step_y) {
            uint32_t height;
            lanes c;
            if (near) {
                c = sample(x, y, &height);
            } else {
                c = map[(y >> 16) & MASK][(x >> 16) & MASK];
                height = (uint32_t)(c >> 48) << 8;
            }
            int row = HORIZON + (int)((camera->height - height) * scale >> 16);
            if (row < horizon_of_column[column]) {
                row = row < 0 ? 0 : row;
                const uint32_t p = pixel(mix(c, haze, fog));
                for (int i = row; i < horizon_of_column[column]; ++i) {
                    picture[i][column] = p;
                }
                horizon_of_column[column] = row;
            }
        }
    }
}

static void draw_sky(const struct camera* camera) {
    const lanes zenith = color(50, 92, 156);
    const lanes cloud = color(255, 232, 208);
    const lanes glow = color(255, 190, 110);
    const int64_t sin = sine(camera->heading);
    const int64_t cos = cosine(camera->heading);
    /* The sun keeps its direction as the view turns; 128 is an eighth of a turn. */
    const int sun_x = 170 - camera->heading * (WIDTH / 2) / 128;
    const int sun_y = 44;
    for (int row = 0; row < HEIGHT; ++row) {
        const int above = HORIZON + 10 - row;
        const unsigned up = (unsigned)clamp(above * 4, 0, 256);
        const lanes air = mix(haze, zenith, up);
        /* The clouds are a plane overhead. Their thickness is that of the island's heights. */
        const int64_t distance = 60 * 65536 / (above > 4 ? above : 4) * 24;
        const int64_t step_x = 2 * (distance * cos >> 16) / WIDTH;
        const int64_t step_y = -2 * (distance * sin >> 16) / WIDTH;
        int64_t x = camera->x / 2 + (distance * sin >> 16) - step_x * (WIDTH / 2);
        int64_t y = camera->y / 2 + (distance * cos >> 16) - step_y * (WIDTH / 2);
        const int fade = clamp((above - 8) * 6, 0, 200);
        for (int column = 0; column < WIDTH; ++column, x += step_x, y += step_y) {
            if (row >= horizon_of_column[column]) {
                continue;
            }
            uint32_t thickness;
            (void)sample(x, y, &thickness);
            const int cover = clamp(((int)thickness - 82 * 256) / 40, 0, 256);
            lanes c = mix(air, cloud, (unsigned)(cover * fade) >> 8);
            const int dx = column - sun_x;
            const int dy = row - sun_y;
            const int square = dx * dx + dy * dy;
            if (square < 90 * 90) {
                const int wide = (90 * 90 - square) >> 5;
                c = add_light(c, glow, (unsigned)(wide * wide * (wide >> 2) >> 15));
            }
            if (square < 12 * 12) {
                c = add_light(c, color(255, 244, 214), (unsigned)clamp((144 - square) * 8, 0, 256));
            }
            picture[row][column] = pixel(c);
        }
    }
}

/* Letters of 3 by 5 dots, the top row in the highest bits. */
static const uint16_t LETTERS[] = {
    ['0'] = 075557, ['1'] = 026227, ['2'] = 071747, ['3'] = 071717, ['4'] = 055711, ['5'] = 074717,
    ['6'] = 074757, ['7'] = 071122, ['8'] = 075757, ['9'] = 075717, ['A'] = 025755, ['E'] = 074647,
    ['F'] = 074644, ['I'] = 072227, ['K'] = 055655, ['M'] = 057755, ['R'] = 065655, ['T'] = 072222,
    ['V'] = 055552, ['C'] = 074447, ['S'] = 034216, ['L'] = 044447, ['N'] = 065555,
};

static void draw_dot(int x, int y, uint32_t color) {
    for (int i = 0; i < 4; ++i) {
        picture[y + i / 2][x + i % 2] = color;
    }
}

static void draw_text(int x, int y, const char* text) {
    for (; *text != '\0'; ++text, x += 8) {
        for (int dot = 0; dot < 15; ++dot) {
            if (((LETTERS[(unsigned char)*text] >> (14 - dot)) & 1) != 0) {
                draw_dot(x + 2 * (dot % 3) + 1, y + 2 * (dot / 3) + 1, 0x102030);
                draw_dot(x + 2 * (dot % 3), y + 2 * (dot / 3), 0xfff4e0);
            }
        }
    }
}

static void draw_number(int x, int y, uint64_t value) {
    char text[5] = "0000";
    for (int i = 3; i >= 0; --i, value /= 10) {
        text[i] = (char)('0' + value % 10);
    }
    draw_text(x, y, text);
}

static void show(void) {
    volatile uint64_t* const framebuffer = (volatile uint64_t*)FRAMEBUFFER;
    const uint64_t* const source = (const uint64_t*)(void*)picture;
    for (unsigned i = 0; i < WIDTH * HEIGHT / 2; ++i) {
        framebuffer[i] = source[i];
    }
    DISPLAY_FRAME = 1;
}

int main(uint64_t argument) {
    const uint64_t frames = argument != 0 ? argument : DEFAULT_FRAMES;
    if (DISPLAY_WIDTH != WIDTH || DISPLAY_HEIGHT != HEIGHT) {
        print("terrain: no display of %d by %d\n", (int64_t)WIDTH, (int64_t)HEIGHT);
        return 1;
    }
    MTIMECMP = MTIME + TICK;
    csr_set(mie, 1ul << TIMER_INTERRUPT);
    csr_set(mstatus, MSTATUS_MIE);

    raise_land();
    shape_land();
    light_land();
    print("terrain: the land is made\n");

    struct camera camera = {40 << 16, 40 << 16, 0, 0};
    for (uint64_t frame = 1; frame <= frames; ++frame) {
        uint32_t below;
        (void)sample(camera.x, camera.y, &below);
        const int64_t wanted = (int64_t)below + 46 * 256;
        camera.height += camera.height == 0 ? wanted : (wanted - camera.height) / 8;
        draw_land(&camera);
        draw_sky(&camera);
        draw_text(8, 184, "RV64IM");
        draw_text(232, 184, "FRAME");
        draw_number(280, 184, frame);
        show();
        camera.heading += (int)(sine((int)frame * 12) >> 14);
        camera.x += 4 * sine(camera.heading);
        camera.y += 4 * cosine(camera.heading);
    }
    csr_clear(mstatus, MSTATUS_MIE);
    print("terrain: %d frames, %d ticks\n", frames, ticks);
    return 0;
}
