#include "host/rundown.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

using pound::host::Rundown;

TEST_CASE("a use begins until the object is closed") {
    Rundown rundown;
    CHECK(rundown.begin());
    CHECK(rundown.begin());
    CHECK(!rundown.closed());
    rundown.close();
    CHECK(rundown.closed());
    CHECK(!rundown.begin());
    rundown.end();
    rundown.end();
    rundown.wait();
}

TEST_CASE("wait() returns after the uses of other threads, and no use begins later") {
    for (int round = 0; round < 200; ++round) {
        Rundown rundown;
        // Not atomic: the accesses race if a use overlaps the end.
        int bytes[4] = {};
        std::atomic<int> started{0};
        std::vector<std::thread> threads;
        for (int& byte : bytes) {
            threads.emplace_back([&rundown, &byte, &started] {
                ++started;
                while (rundown.begin()) {
                    ++byte;
                    rundown.end();
                }
            });
        }
        while (started < 4) {
            std::this_thread::yield();
        }
        rundown.close();
        rundown.wait();
        int sum = 0;
        for (int& byte : bytes) {
            sum += byte;
            byte = -1;
        }
        CHECK(sum >= 0);
        for (std::thread& thread : threads) {
            thread.join();
        }
        for (const int byte : bytes) {
            CHECK(byte == -1);
        }
    }
}
