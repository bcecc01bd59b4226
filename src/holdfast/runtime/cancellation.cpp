#include "holdfast/runtime/cancellation.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

namespace holdfast::runtime {

class CancellationState {
 public:
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_acquire); }

  void cancel() noexcept {
    std::vector<std::pair<std::uint64_t, Waker>> waiting;
    std::vector<std::weak_ptr<CancellationState>> children;
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_.exchange(true, std::memory_order_acq_rel)) return;
      waiting.swap(waiting_);
      children.swap(children_);
    }
    for (const auto& [id, waker] : waiting) waker.wake();
    for (const auto& weak : children) {
      if (const auto child = weak.lock()) child->cancel();
    }
  }

  std::uint64_t add(Waker waker) {
    {
      const std::lock_guard lock(mutex_);
      if (!cancelled_.load(std::memory_order_relaxed)) {
        waiting_.emplace_back(++last_id_, waker);
        return last_id_;
      }
    }
    waker.wake();
    return 0;
  }

  void remove(std::uint64_t id) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [id](const auto& entry) { return entry.first == id; });
  }

  void adopt(const std::shared_ptr<CancellationState>& child) {
    {
      const std::lock_guard lock(mutex_);
      if (!cancelled_.load(std::memory_order_relaxed)) {
        children_.push_back(child);
        return;
      }
    }
    child->cancel();
  }

  void release(const CancellationState* child) noexcept {
    const std::lock_guard lock(mutex_);
    std::erase_if(children_, [child](const auto& weak) {
      const auto held = weak.lock();
      return !held || held.get() == child;
    });
  }

 private:
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::uint64_t last_id_ = 0;
  std::vector<std::pair<std::uint64_t, Waker>> waiting_;
  std::vector<std::weak_ptr<CancellationState>> children_;
};

bool CancellationToken::cancelled() const noexcept { return state_ && state_->cancelled(); }

CancellationSource::CancellationSource(const CancellationToken& parent)
    : state_(std::make_shared<CancellationState>()), parent_(parent.state_) {
  if (parent_) parent_->adopt(state_);
}

CancellationSource::~CancellationSource() {
  if (parent_) parent_->release(state_.get());
}

void CancellationSource::cancel() noexcept { state_->cancel(); }

CancellationRegistration::CancellationRegistration(const CancellationToken& token, Waker waker)
    : state_(token.state_.get()) {
  if (state_) id_ = state_->add(waker);
}

CancellationRegistration::~CancellationRegistration() {
  if (state_ && id_ != 0) state_->remove(id_);
}

}  // namespace holdfast::runtime
