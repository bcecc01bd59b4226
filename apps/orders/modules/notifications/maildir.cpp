#include "orders/modules/notifications/maildir.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <exception>
#include <filesystem>
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

#include "holdfast/base/encoding.hpp"
#include "holdfast/base/fault.hpp"
#include "holdfast/runtime/offload.hpp"
#include "holdfast/runtime/sync.hpp"

namespace holdfast::orders::notifications {
namespace {

Error disk_error(const std::string& doing, int code) {
  return Error(ErrorCode::unavailable, "The mail can't be delivered now; it will be tried again.")
      .reason("maildir_unavailable")
      .cause(doing + ": " + std::strerror(code))
      .retry_after(std::chrono::seconds(5));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

void write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw disk_error("writing " + path, errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void sync_folder(const std::string& path) {
  const Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) throw disk_error("syncing " + path, errno);
}

std::optional<std::string> read_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return std::nullopt;
  std::string text;
  char buffer[16 * 1024];
  for (;;) {
    const ssize_t count = ::read(file.get(), buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw disk_error("reading " + path, errno);
    if (count == 0) return text;
    text.append(buffer, static_cast<std::size_t>(count));
  }
}

/// A file name: ids are our own, but nothing may ever leave the folder.
std::string file_name(std::string_view id) {
  if (id.empty() || id.size() > 200 ||
      id.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
          std::string_view::npos ||
      id.front() == '.') {
    throw Error(ErrorCode::internal, "A mail's id is no file name.").cause(std::string(id));
  }
  return std::string(id);
}

}  // namespace

struct Maildir::State {
  State(runtime::Runtime& the_runtime, Options given, observe::Metrics& metrics)
      : runtime(the_runtime),
        options(std::move(given)),
        delivered(metrics.counter("holdfast_maildir_delivered_total", "Mails linked into the maildir.")),
        known(metrics.counter("holdfast_maildir_known_total", "Mails that had been delivered before.")),
        batches(metrics.counter("holdfast_maildir_batches_total", "Times mails were made durable together.")),
        pool(runtime, {.name = "maildir", .threads = 1, .max_queue = 256}) {
    std::uint64_t token = runtime.random().next();  // tells the temporary files of processes apart
    process = encode_hex({reinterpret_cast<const std::uint8_t*>(&token), sizeof token});
  }

  /// A mail on its way to the disk. Shared by who waits for it and the pool, since a wait may end early.
  struct Pending {
    std::string name;
    std::string content;
    runtime::Latch done;
    std::exception_ptr failure;
    std::string temporary;
  };
  using Batch = std::vector<std::shared_ptr<Pending>>;

  std::string in(std::string_view folder, std::string_view name = {}) const {
    return options.path + "/" + std::string(folder) + (name.empty() ? "" : "/" + std::string(name));
  }

  void enqueue(const std::shared_ptr<Pending>& mail) {
    const std::lock_guard lock(mutex);
    if (queue.size() >= options.max_queue)
      throw disk_error("queueing a mail: too many wait for the disk", EAGAIN);
    if (!flushing && !pool.post([this] { flush(); })) {
      throw disk_error("queueing a mail: the pool is full", EAGAIN);
    }
    flushing = true;
    queue.push_back(mail);
  }

  Batch next_batch() {
    const std::lock_guard lock(mutex);
    Batch batch;
    while (!queue.empty() && batch.size() < options.max_batch) {
      batch.push_back(std::move(queue.front()));
      queue.pop_front();
    }
    if (batch.empty()) flushing = false;
    return batch;
  }

  void flush() noexcept {
    for (Batch batch = next_batch(); !batch.empty(); batch = next_batch()) {
      try {
        deliver(batch);
      } catch (...) {
        for (const auto& mail : batch) {
          if (!mail->failure) mail->failure = std::current_exception();
        }
      }
      for (const auto& mail : batch) mail->done.open();
    }
  }

  void deliver(const Batch& batch) {
    refresh_cur();
    std::vector<std::pair<Pending*, Descriptor>> written;
    for (const auto& mail : batch) {
      try {
        if (is_known(mail->name)) {
          known.add();
          continue;
        }
        mail->temporary = in("tmp", mail->name + "." + process + "." + std::to_string(++temporaries));
        Descriptor file(::open(mail->temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
        if (file.get() < 0) throw disk_error("creating " + mail->temporary, errno);
        written.emplace_back(mail.get(), std::move(file));
        write_all(written.back().second.get(), mail->content, mail->temporary);
        ::sync_file_range(written.back().second.get(), 0, 0, SYNC_FILE_RANGE_WRITE);  // begins; fsync waits
      } catch (...) {
        mail->failure = std::current_exception();
      }
    }
    for (auto& [mail, file] : written) {
      if (!mail->failure && ::fsync(file.get()) != 0) {
        mail->failure = std::make_exception_ptr(disk_error("syncing " + mail->temporary, errno));
      }
    }
    HOLDFAST_FAULT("maildir.before_link");
    for (auto& [mail, file] : written) {
      if (!mail->failure) link_into_new(*mail);
      ::unlink(mail->temporary.c_str());
    }
    if (!written.empty()) sync_folder(in("new"));
    HOLDFAST_FAULT("maildir.after_link");
    batches.add();
  }

  void link_into_new(Pending& mail) {
    if (::link(mail.temporary.c_str(), in("new", mail.name).c_str()) == 0) {
      delivered.add();
    } else if (errno == EEXIST) {  // another process was quicker
      known.add();
    } else {
      mail.failure = std::make_exception_ptr(disk_error("linking into " + in("new", mail.name), errno));
    }
  }

  bool is_known(const std::string& name) const {
    // new/ first: a reader that moves the file meanwhile moves it to where is looked next.
    struct stat ignored {};
    return ::stat(in("new", name).c_str(), &ignored) == 0 || cur.contains(name);
  }

  /// Reads cur/ again where it has changed. A change within the clock's granularity of the last reading
  /// could go unseen, so a young reading is not trusted.
  void refresh_cur() {
    struct stat now {};
    if (::stat(in("cur").c_str(), &now) != 0) throw disk_error("looking at " + in("cur"), errno);
    const auto mtime =
        std::chrono::seconds(now.st_mtim.tv_sec) + std::chrono::nanoseconds(now.st_mtim.tv_nsec);
    if (cur_trusted && mtime == cur_mtime) return;
    cur.clear();
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(in("cur").c_str()), &::closedir);
    if (!folder) throw disk_error("reading " + in("cur"), errno);
    while (const dirent* entry = ::readdir(folder.get())) {
      const std::string_view name(entry->d_name);
      cur.emplace(name.substr(0, name.find_first_of(":,")));
    }
    cur_mtime = mtime;
    const auto wall = runtime.clock().wall_now().time_since_epoch();
    cur_trusted = wall - mtime > std::chrono::seconds(2);
  }

  std::optional<std::string> find(const std::string& name) {
    if (auto text = read_file(in("new", name))) return text;
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(in("cur").c_str()), &::closedir);
    while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr) {
      const std::string_view candidate(entry->d_name);
      if (candidate.substr(0, candidate.find_first_of(":,")) == name) return read_file(in("cur", candidate));
    }
    return std::nullopt;
  }

  runtime::Runtime& runtime;
  const Options options;
  observe::Counter delivered;
  observe::Counter known;
  observe::Counter batches;
  std::string process;
  std::mutex mutex;
  std::deque<std::shared_ptr<Pending>> queue;
  bool flushing = false;

  // Of the pool's thread only:
  std::uint64_t temporaries = 0;
  std::unordered_set<std::string> cur;  // names in cur/ without their flags
  std::chrono::nanoseconds cur_mtime{-1};
  bool cur_trusted = false;

  runtime::OffloadPool pool;  // last: its threads use the rest
};

Maildir::Maildir(runtime::Runtime& runtime, Options options, observe::Metrics& metrics)
    : state_(std::make_unique<State>(runtime, std::move(options), metrics)) {
  const std::filesystem::path path = state_->options.path;
  std::error_code failure;
  for (const char* folder : {"tmp", "new", "cur"}) {
    std::filesystem::create_directories(path / folder, failure);
    if (failure) throw disk_error("making " + (path / folder).string(), failure.value());
  }
  // A folder is only as durable as its entry in the one above it.
  sync_folder(path.string());
  sync_folder(std::filesystem::absolute(path).parent_path().string());
  // A mail takes seconds; what is older (maildir's own rule: 36 hours) is of a process that crashed.
  const auto old =
      std::filesystem::file_time_type::clock::from_sys(runtime.clock().wall_now()) - std::chrono::hours(36);
  for (const auto& entry : std::filesystem::directory_iterator(path / "tmp", failure)) {
    std::error_code gone;
    if (entry.last_write_time(gone) < old && !gone) std::filesystem::remove(entry.path(), gone);
  }
}

Maildir::~Maildir() = default;

void Maildir::deliver(const Context& ctx, const Mail& mail) {
  const auto pending = std::make_shared<State::Pending>();
  pending->name = file_name(mail.id);
  pending->content = encode(mail);
  state_->enqueue(pending);
  pending->done.wait(ctx, "maildir");
  if (pending->failure) std::rethrow_exception(pending->failure);
}

std::optional<std::string> Maildir::read(const Context& ctx, std::string_view id) {
  const std::string name = file_name(id);
  std::optional<std::string> text;
  state_->pool.run(ctx, [&] { text = state_->find(name); });
  return text;
}

}  // namespace holdfast::orders::notifications
