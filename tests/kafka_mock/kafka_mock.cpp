// A cluster of one Kafka broker for tests: librdkafka's own mock, in a process of its own, so that it can be
// killed and frozen like a server. Commands come as lines of the standard input; each is answered by a line.
//
//   kafka_mock [<port>]       says its port; where one was asked for, it is down until it is told "up"
//   topic <name> <partitions> / down / up / rtt <milliseconds>
//   fail <api> <error> <times>          of the next requests; -195: the connection is cut
//
// It ends with its input. Its store is its memory.
#include <arpa/inet.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

namespace {

std::uint16_t wanted_port = 0;

std::string answer(rd_kafka_mock_cluster_t* cluster, const std::string& line) {
  std::istringstream words(line);
  std::string command;
  words >> command;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__INVALID_ARG;
  if (command == "topic") {
    std::string name;
    int partitions = 0;
    words >> name >> partitions;
    error = rd_kafka_mock_topic_create(cluster, name.c_str(), partitions, 1);
  } else if (command == "down") {
    error = rd_kafka_mock_broker_set_down(cluster, -1);
  } else if (command == "up") {
    error = rd_kafka_mock_broker_set_up(cluster, -1);
  } else if (command == "rtt") {
    int milliseconds = 0;
    words >> milliseconds;
    error = rd_kafka_mock_broker_set_rtt(cluster, -1, milliseconds);
  } else if (command == "fail") {
    int api = 0;
    int code = 0;
    std::size_t times = 0;
    words >> api >> code >> times;
    const std::vector<rd_kafka_resp_err_t> errors(times, static_cast<rd_kafka_resp_err_t>(code));
    rd_kafka_mock_push_request_errors_array(cluster, static_cast<std::int16_t>(api), times, errors.data());
    error = RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  return error == RD_KAFKA_RESP_ERR_NO_ERROR ? "ok" : rd_kafka_err2str(error);
}

}  // namespace

// The mock asks for any free port, and tells clients the one it got. After a restart it is to be the former
// one, and nobody is to come before the topics are there: so it is told that it has that, while it has
// another; and gets it when it is set down. The library finds this in place of the system's.
extern "C" int getsockname(int descriptor, sockaddr* address, socklen_t* size) noexcept {
  const auto result = static_cast<int>(::syscall(SYS_getsockname, descriptor, address, size));
  if (result == 0 && wanted_port != 0 && address->sa_family == AF_INET)
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(wanted_port);
  return result;
}

int main(int count, char** arguments) {
  if (count > 1) wanted_port = static_cast<std::uint16_t>(std::atoi(arguments[1]));
  char error[512] = "";
  rd_kafka_conf_t* quiet = rd_kafka_conf_new();
  rd_kafka_conf_set(quiet, "log_level", "0", error, sizeof error);
  rd_kafka_t* instance = rd_kafka_new(RD_KAFKA_PRODUCER, quiet, error, sizeof error);
  if (instance == nullptr) return std::cerr << error << "\n", 1;
  rd_kafka_mock_cluster_t* cluster = rd_kafka_mock_cluster_new(instance, 1);
  if (cluster == nullptr) return std::cerr << "no mock cluster\n", 1;
  if (wanted_port != 0) rd_kafka_mock_broker_set_down(cluster, -1);
  const std::string address = rd_kafka_mock_cluster_bootstraps(cluster);
  std::cout << address.substr(address.rfind(':') + 1) << std::endl;
  for (std::string line; std::getline(std::cin, line);) std::cout << answer(cluster, line) << std::endl;
  rd_kafka_mock_cluster_destroy(cluster);
  rd_kafka_destroy(instance);
}
