#include "drills/frame/server_process.hpp"

#include <cctype>
#include <cstdlib>
#include <stdexcept>
#include <thread>

namespace holdfast::drills {

std::filesystem::path binary(const std::string& name) {
  std::string variable = name + "_BINARY";
  for (char& c : variable) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (const char* named = std::getenv(variable.c_str())) return named;
  const auto own = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  for (auto folder = own; folder != folder.parent_path(); folder = folder.parent_path()) {
    for (const auto& place : {folder / name, folder / "apps" / name / name}) {
      if (std::filesystem::is_regular_file(place)) return place;
    }
  }
  throw std::runtime_error("there is no program " + name + " beside " + own.string() + "; " + variable +
                           " can name it");
}

std::string holdfast_binary() { return binary("holdfast").string(); }

ServerProcess::ServerProcess(ServerProcessOptions options) : options_(std::move(options)) {
  if (options_.folder.empty())
    own_folder_.emplace();
  else
    std::filesystem::create_directories(options_.folder);
  if (options_.start) start();
}

ProcessOptions ServerProcess::process_options(std::vector<std::string> arguments) const {
  const std::string name = arguments.front();
  std::map<std::string, std::string> environment = options_.environment;
  environment.try_emplace("HOLDFAST_DATA", data().string());
  arguments.insert(arguments.begin(), holdfast_binary());
  return {.command = std::move(arguments),
          .folder = folder(),
          .environment = std::move(environment),
          .name = name,
          .belongings = options_.belongings};
}

void ServerProcess::launch() {
  std::vector<std::string> arguments{"serve", "--ready-file", (folder() / "ready").string()};
  arguments.insert(arguments.end(), options_.arguments.begin(), options_.arguments.end());
  std::filesystem::remove(folder() / "ready");
  ProcessOptions process = process_options(std::move(arguments));
  process.environment.try_emplace("HOLDFAST_HTTP_ADDRESS", "127.0.0.1:" + std::to_string(port_));
  process_ = std::make_unique<Process>(std::move(process));
}

void ServerProcess::wait_for(const std::filesystem::path& ready, Process& process, const char* what) const {
  using namespace std::chrono_literals;
  const auto until = std::chrono::steady_clock::now() + options_.ready_within;
  while (!std::filesystem::exists(ready)) {
    const bool running = process.running();
    if (running && std::chrono::steady_clock::now() <= until) {
      std::this_thread::sleep_for(5ms);
      continue;
    }
    throw std::runtime_error(std::string(what) + (running ? " is not ready in time: " : " ended: ") +
                             process.out() + process.err());
  }
}

void ServerProcess::wait_until_ready() {
  wait_for(folder() / "ready", *process_, "the server");
  const std::string url = read_text(folder() / "ready");
  port_ = static_cast<std::uint16_t>(std::stoul(url.substr(url.rfind(':') + 1)));
  kept_.keep(port_);
}

void ServerProcess::start() {
  launch();
  wait_until_ready();
}

ExitStatus ServerProcess::stop(std::chrono::milliseconds at_most) {
  process_->terminate();
  return process_->wait(at_most);
}

Finished ServerProcess::run(std::vector<std::string> arguments, std::chrono::milliseconds at_most) const {
  return drills::run(process_options(std::move(arguments)), at_most);
}

std::unique_ptr<Process> ServerProcess::spawn(std::vector<std::string> arguments) const {
  return std::make_unique<Process>(process_options(std::move(arguments)));
}

std::unique_ptr<Process> ServerProcess::start_worker() const {
  const TemporaryFolder beside;
  const auto ready = beside.path() / "ready";
  auto worker = spawn({"worker", "--ready-file", ready.string()});
  wait_for(ready, *worker, "the worker");
  return worker;
}

std::string ServerProcess::create_key(const std::string& scope) const {
  const Finished made = run({"keys", "create", "--scope", scope});
  if (made.status.code != 0) throw std::runtime_error("keys create failed: " + made.out + made.err);
  std::string text = made.out;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace holdfast::drills
