// A client that verifies whom it talks to, against a server with a certificate of the test's own making.
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>

#include "holdfast/redis/testing/system.hpp"

namespace holdfast::redis {
namespace {

using testing::RedisServer;
using testing::RedisTest;
using testing::System;

/// A self-signed certificate for `names` ("IP:127.0.0.1") and its key, as PEM files.
void write_certificate(const std::string& names, const std::string& certificate_file,
                       const std::string& key_file) {
  EVP_PKEY* const key = EVP_RSA_gen(2048);
  X509* const certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* const name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("redis"), -1,
                             -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_EXTENSION* const alternative =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, names.c_str());
  X509_add_ext(certificate, alternative, -1);
  X509_EXTENSION_free(alternative);
  X509_sign(certificate, key, EVP_sha256());
  std::FILE* file = std::fopen(certificate_file.c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  file = std::fopen(key_file.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

TEST_F(RedisTest, OverTlsOnlyWhoProvesToBeTheServerIsTalkedTo) {
  RedisServer server;
  server.kill();
  const std::string certificate = (server.folder() / "redis.crt").string();
  const std::string key = (server.folder() / "redis.key").string();
  write_certificate("IP:127.0.0.1", certificate, key);
  const std::string tls_port = std::to_string(free_port());
  server.start({"--tls-port", tls_port, "--tls-cert-file", certificate, "--tls-key-file", key,
                "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"});
  System system(1);
  system.run([&](const Context& ctx) {
    ClientOptions options = System::options(parse_address("rediss://127.0.0.1:" + tls_port));
    options.connection.ca_file = certificate;
    {
      const auto client = system.client(options);
      const std::string large(2 * 1024 * 1024, 'x');
      EXPECT_TRUE(client->command(ctx, {"SET", "k", large}).ok());
      EXPECT_EQ(client->command(ctx, {"GET", "k"}).as_text(), large);
    }
    ClientOptions stranger = options;
    stranger.connection.ca_file.clear();  // the system trusts no such authority
    Error error = error_of([&] { system.client(stranger)->command(ctx, {"PING"}); });
    EXPECT_EQ(error.reason(), "redis_unreachable");
    EXPECT_NE(error.cause().find("TLS"), std::string::npos) << error.cause();

    write_certificate("DNS:another.example", certificate, key);
    server.kill();
    server.start({"--tls-port", tls_port, "--tls-cert-file", certificate, "--tls-key-file", key,
                  "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"});
    error = error_of([&] { system.client(options)->command(ctx, {"PING"}); });
    EXPECT_NE(error.cause().find("IP address mismatch"), std::string::npos) << error.cause();

    ClientOptions plain = options;
    plain.connection.address.tls = false;
    plain.connection.connect_timeout = std::chrono::milliseconds(300);
    EXPECT_EQ(error_of([&] { system.client(plain)->command(ctx, {"PING"}); }).code(), ErrorCode::unavailable);
    options.connection.ca_file = "/nowhere.pem";
    EXPECT_EQ(error_of([&] { system.client(options); }).reason(), "redis_ca_file_unreadable");
  });
}

}  // namespace
}  // namespace holdfast::redis
