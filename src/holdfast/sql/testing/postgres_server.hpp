// For tests: a real PostgreSQL of Debian's package, on a free port, with its data in a temporary folder and
// fsync on (but see shared()); stopped at the end by its process id. As root it runs as the user "postgres"
// (or "nobody").
//
//   if (PostgresServer::not_wanted()) GTEST_SKIP() << PostgresServer::kNotWanted;
//   PostgresServer server;
//   auto db = postgres::open(runtime, server.options());
//   server.kill_hard(); server.start();
//   PostgresServer standby(server, {});            // a hot standby that follows it by streaming
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "holdfast/base/testing/free_port.hpp"
#include "holdfast/base/testing/stop_process.hpp"
#include "holdfast/sql/postgres/database.hpp"
#include "holdfast/sql/testing/temporary_folder.hpp"

namespace holdfast::sql {

class PostgresServer {
 public:
  static constexpr const char* kMissing =
      "PostgreSQL 15 is not installed: apt-get install --no-install-recommends postgresql-15";
  static constexpr const char* kPassword = "sesame";

  /// Where it is wanted and not installed, making one throws.
  static constexpr const char* kNotWanted = "HOLDFAST_EMBEDDED_ONLY is set";
  static bool not_wanted() {
    const char* only = std::getenv("HOLDFAST_EMBEDDED_ONLY");
    return only != nullptr && std::string_view(only) == "1";
  }

  static bool installed() { return std::filesystem::exists(binary("initdb")); }

  struct Settings {
    std::vector<std::string> settings{};               ///< "max_connections=20", after those of all tests
    std::map<std::string, std::string> environment{};  ///< for the server's processes
    /// Makes a certificate for 127.0.0.1 that is signed by itself: certificate().
    bool tls = false;
  };

  /// One for all tests of this process, started at the first use. Where rooms are run over PostgreSQL, each
  /// of their tests has a database of its own, whose two hundred commits would wait for a disk that no test
  /// takes away: then without fsync.
  static PostgresServer& shared() {
    static const bool for_rooms = std::getenv("HOLDFAST_TEST_DATABASE") != nullptr;
    static PostgresServer shared(
        Settings{.settings = for_rooms ? std::vector<std::string>{"fsync=off"} : std::vector<std::string>{}});
    return shared;
  }

  PostgresServer() : PostgresServer(Settings{}) {}
  explicit PostgresServer(Settings settings) : settings_(std::move(settings)), port_(free_port()) {
    prepare();
    std::ofstream(folder_.path() / "password") << kPassword << "\n";
    run_to_end({binary("initdb"), "-D", data(), "-U", "holdfast", "-E", "UTF8", "--locale=C",
                "--auth-local=trust", "--auth-host=scram-sha-256",
                "--pwfile=" + (folder_.path() / "password").string()});
    if (settings_.tls) enable_tls();
    start();
  }
  /// A hot standby of `primary`, which must outlive it.
  PostgresServer(const PostgresServer& primary, Settings settings)
      : settings_(std::move(settings)), port_(free_port()) {
    prepare();
    run_to_end({binary("pg_basebackup"), "-D", data(), "-h", primary.socket_folder(), "-p",
                std::to_string(primary.port_), "-U", "holdfast", "-R", "-c", "fast", "-X", "stream"});
    start();
  }
  ~PostgresServer() {
    if (pid_ <= 0 || ::getpid() != owner_) return;  // a forked child leaves it to its parent
    signal_all(SIGCONT);
    ::kill(pid_, SIGQUIT);
    ::waitpid(pid_, nullptr, 0);
  }
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  void start() {
    std::vector<std::string> command{binary("postgres"),    "-D", data(),        "-p",
                                     std::to_string(port_), "-k", folder_.path()};
    std::vector<std::string> settings{"listen_addresses=127.0.0.1", "max_connections=300",
                                      "shared_buffers=64MB"};
    settings.insert(settings.end(), settings_.settings.begin(), settings_.settings.end());
    for (const std::string& setting : settings) command.insert(command.end(), {"-c", setting});
    pid_ = spawn(command, settings_.environment);
    // Told of each change of its files, of which the last is the line "ready" in its pid file.
    const int changes = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    ::inotify_add_watch(changes, data().c_str(), IN_CREATE | IN_MODIFY);
    bool up = false;
    for (int looks = 0; looks < kMostLooks && !(up = ready()); ++looks) {
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) break;
      pollfd changed{changes, POLLIN, 0};
      ::poll(&changed, 1, 1000);
      char events[4096];
      while (::read(changes, events, sizeof events) > 0) {
      }
    }
    ::close(changes);
    if (up) return;
    throw std::runtime_error("PostgreSQL does not start:\n" + log());
  }
  /// kill -9 of the server and all its processes at once. They are gone when it returns: a server that is
  /// started while one of them still has the shared memory refuses to.
  void kill_hard() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGSTOP);  // no further children
    std::vector<pollfd> ends;
    for (const pid_t process : processes()) {
      const long end = ::syscall(SYS_pidfd_open, process, 0);
      if (end >= 0) ends.push_back({static_cast<int>(end), POLLIN, 0});
    }
    signal_all(SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    for (pollfd& end : ends) {
      ::poll(&end, 1, 10'000);
      ::close(end.fd);
    }
    std::filesystem::remove(std::filesystem::path(data()) / "postmaster.pid");
    pid_ = -1;
  }
  /// Ends its sessions, but none of psql.
  void end_sessions() const {
    run_sql("postgres",
            "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' "
            "and pid <> pg_backend_pid() and application_name <> 'psql'");
  }
  void freeze() {
    for (const pid_t process : processes()) holdfast::stop_process(process);
  }

  void thaw() { signal_all(SIGCONT); }

  /// Options that reach it by TCP. `dbname` must exist; see create_database().
  postgres::Options options(std::string dbname = "postgres") const {
    postgres::Options made;
    made.host = "127.0.0.1";
    made.port = port_;
    made.dbname = std::move(dbname);
    made.user = "holdfast";
    made.password = kPassword;
    made.sslmode = "disable";
    return made;
  }
  std::string url(const std::string& dbname) const {
    return std::string("postgres://holdfast:") + kPassword + "@127.0.0.1:" + std::to_string(port_) + "/" +
           dbname + "?sslmode=disable";
  }
  std::string socket_folder() const { return folder_.path(); }
  /// A new, empty database; its name. `more`: further arguments of createdb.
  std::string create_database(const std::vector<std::string>& more = {}) {
    const std::string name = "t" + std::to_string(++databases_);
    std::vector<std::string> command{
        binary("createdb"), "-h", folder_.path(), "-p", std::to_string(port_), "-U",
        "holdfast",         "-T", "template0"};
    command.insert(command.end(), more.begin(), more.end());
    command.push_back(name);
    run_to_end(command);
    return name;
  }
  /// Runs `sql` with psql, as its superuser.
  void run_sql(const std::string& dbname, const std::string& sql) const {
    run_to_end({binary("psql"), "-h", folder_.path(), "-p", std::to_string(port_), "-U", "holdfast", "-v",
                "ON_ERROR_STOP=1", "-c", sql, dbname});
  }
  std::uint16_t port() const noexcept { return port_; }
  /// Its own certificate, which is also that of who signed it.
  std::string certificate() const { return folder_.path() / "server.crt"; }
  /// psql with `sql`, as its superuser, to its end by itself or by its pid: a session that holds something.
  pid_t spawn_sql(const std::string& dbname, const std::string& sql) const {
    return spawn({binary("psql"), "-h", folder_.path(), "-p", std::to_string(port_), "-U", "holdfast", "-c",
                  sql, dbname});
  }
  std::string log() const {
    std::ifstream file(folder_.path() / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  static constexpr int kMostLooks = 10'000;

  static std::string binary(const char* name) { return std::string("/usr/lib/postgresql/15/bin/") + name; }
  std::string data() const { return folder_.path() / "data"; }

  bool ready() const {  // the last line of its pid file says so
    std::ifstream file(std::filesystem::path(data()) / "postmaster.pid");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return text.starts_with(std::to_string(pid_) + "\n") && text.find("\nready") != std::string::npos;
  }

  void prepare() {
    if (!std::filesystem::exists(binary("initdb"))) throw std::runtime_error(kMissing);
    if (::geteuid() != 0) return;
    const passwd* user = ::getpwnam("postgres");
    if (user == nullptr) user = ::getpwnam("nobody");
    uid_ = user->pw_uid;
    gid_ = user->pw_gid;
    if (::chown(folder_.path().c_str(), uid_, gid_) != 0) throw std::runtime_error("chown");
    ::chmod(folder_.path().c_str(), 0711);  // its certificate is read by other users
  }

  void enable_tls() {
    const std::string key = folder_.path() / "server.key";
    run_to_end({"/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate()});
    // Not on the command line, where `alter system` could not change it.
    std::ofstream(data() + "/postgresql.conf", std::ios::app)
        << "\nssl = on\nssl_cert_file = '" << certificate() << "'\nssl_key_file = '" << key << "'\n";
  }

  pid_t spawn(const std::vector<std::string>& command,
              const std::map<std::string, std::string>& more = {}) const {
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    std::vector<std::string> settings;
    for (const auto& [name, value] : more) settings.push_back(name + "=" + value);
    std::vector<char*> variables;
    for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);
    for (std::string& setting : settings) variables.push_back(setting.data());
    variables.push_back(nullptr);
    const std::string log = folder_.path() / "log";
    const pid_t child = ::fork();
    if (child != 0) return child;
    // Only what is safe after a fork.
    if (uid_ != 0 && (::setgroups(0, nullptr) != 0 || ::setgid(gid_) != 0 || ::setuid(uid_) != 0))
      ::_exit(126);
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
    const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(output, 1);
    ::dup2(output, 2);
    if (::chdir("/") != 0) ::_exit(126);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execve(arguments[0], arguments.data(), variables.data());
    ::_exit(127);
  }

  void run_to_end(const std::vector<std::string>& command) const {
    int status = 0;
    ::waitpid(spawn(command), &status, 0);
    if (status != 0) throw std::runtime_error(command.front() + " failed:\n" + log());
  }

  std::vector<pid_t> processes() const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/task/" + std::to_string(pid_) + "/children");
    std::vector<pid_t> all{pid_};
    for (pid_t child = 0; file >> child;) all.push_back(child);
    return all;
  }
  void signal_all(int signal) const {
    for (const pid_t process : processes()) ::kill(process, signal);
  }

  const pid_t owner_ = ::getpid();
  Settings settings_;
  TemporaryFolder folder_;
  uid_t uid_ = 0;
  gid_t gid_ = 0;
  std::uint16_t port_;
  pid_t pid_ = -1;
  int databases_ = 0;
};

}  // namespace holdfast::sql
