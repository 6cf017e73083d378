#ifndef POUND_HOST_RUNDOWN_H
#define POUND_HOST_RUNDOWN_H

#include <atomic>
#include <cassert>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace pound::host {

/**
 * Rundown protection of an object that threads use while another thread may end it.
 *
 * A user calls begin() before it uses the object and end() afterwards. close() lets no further use
 * begin. wait() returns when the uses that had begun have ended. All functions may be called on any
 * thread.
 */
class Rundown {
public:
    Rundown() = default;
    Rundown(const Rundown&) = delete;
    Rundown& operator=(const Rundown&) = delete;

    /** Begins a use. @return False if the object has ended; the caller must not call end() then. */
    [[nodiscard]] bool begin() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (closed()) {
            return false;
        }
        ++uses_;
        return true;
    }

    /** Ends a use. */
    void end() {
        const std::lock_guard<std::mutex> lock(mutex_);
        assert(uses_ > 0);
        --uses_;
        // Under the lock, so that the thread in wait() cannot destroy this object before the
        // return.
        if (uses_ == 0) {
            ended_.notify_all();
        }
    }

    /** Ends the object for later calls of begin(). A second call has no effect. */
    void close() {
        const std::lock_guard<std::mutex> lock(mutex_);
        closed_.store(true, std::memory_order_release);
    }

    /** Whether close() was called. It takes no lock, so that a loop can poll it. */
    bool closed() const {
        return closed_.load(std::memory_order_acquire);
    }

    /** Blocks until no use is left. Call close() first, and not within a use on this thread. */
    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        ended_.wait(lock, [this] { return uses_ == 0; });
    }

private:
    std::mutex mutex_;
    std::condition_variable ended_;
    std::atomic<bool> closed_{false};
    uint32_t uses_ = 0;
};

} // namespace pound::host

#endif // POUND_HOST_RUNDOWN_H
